"""The commonest sounds in ten languages → English, which the text encoders know: `foreign_words.tsv`, one sound a line.

Words that mean something else in English are left out, so a query in English stays as it is.
"""

import re
from functools import lru_cache
from importlib import resources

_ARTICLE = re.compile(
    r"^(?:(?:der|die|das|ein|eine|einen|le|la|les|un|une|el|los|las|una|il|lo|gli|uno|o|os|um|uma|de|het|een) |l['’])"
)


def in_english(text: str) -> str:
    """Return a sound that is named in another language in English, and any other text as it is.

    Case and an article before the word do not matter. The languages are German, French, Spanish, Italian, Portuguese,
    Dutch, Polish, Russian, Chinese and Japanese.
    """
    words = " ".join(text.casefold().split())
    table = _table()
    return table.get(words) or table.get(_ARTICLE.sub("", words)) or text


@lru_cache(maxsize=1)
def _table() -> dict[str, str]:
    """Read the table: a word in another language, without case → English."""
    lines = (resources.files("trisep.encoders") / "foreign_words.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {word.casefold(): english for english, *cells in rows for cell in cells for word in cell.split("|") if word}
