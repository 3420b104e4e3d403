"""Whether a query in words is understood: near something that the encoder knows, spelt as words are, and not negated.

Most nonsense, words of most other languages and what makes no sound lie far from all classes of the encoder. Keys that
were struck at random may lie near one, and are found by their letters (`spelling.py`). A negation lies near what it
negates, and is found by its words. The bound lies just below the least value of the good queries of
one half of `benchmarks/understood_queries.csv`. The rule is ours. This file knows no sound.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from trisep.encoders import SharedEncoder, encode_query_text
from trisep.encoders.foreign_words import in_english
from trisep.encoders.lite import LiteEncoder
from trisep.queries.spelling import Spelling
from trisep.types import Query

LEAST_COSINE = 0.69
"""Cosine with the nearest class below which words are not understood."""
_NEGATION = re.compile(
    r"\b(?:no|not|never|without|except|excluding|nothing|other than|instead of|anything but|everything but|opposite of)"
    r"\b|n['’]t\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:achoo|blockflutes?|bongos?|bray(?:ing|s)?|caribou|castanets?|cellists?|clavinet|congas?|contrabass(?:oon)?"
    r"|cor anglais|cuckoo|cutting board|djembe|flautists?|flexatone|flipping pages|flutists?|footfalls?"
    r"|gallop(?:ing|s)?|gander|guiro|hammered dulcimer|juic(?:e maker|er|ing)|kettledrums?|koto|lark|mridangam|munching"
    r"|oboists?"
    r"|page turning|peeling|pyrotechnics|quetzal|rhodes|shakuhachi|shamisen|shehnai|sizzling|slurping|squeezebox"
    r"|timbales|tom-toms?|triangle|trombonists?|turning pages|vegetable peeler|vibes|viola solo|violists?|woof)\b",
    re.IGNORECASE,
)
"""Names of sounds, and of `examples/wordings.csv`, that the shipped models heard in training although none of the
encoder's classes lies near them."""


def understanding(encoder: SharedEncoder, text: str) -> float:
    """Return the cosine of words with the nearest class of pictures or sounds, less one where they are negated or
    spelt as no words are.

    It is 1 for words that name a sound of the training which is near no class, and where an encoder's classes are not
    known.
    """
    if not isinstance(encoder, LiteEncoder):
        return 1.0
    nearest = 1.0
    if not _NAMED.search(text):
        query = encode_query_text(encoder, text, ground=False)
        nearest = float((encoder.known_things @ query).max() / query.norm().clamp_min(1e-9))
    return nearest - (_NEGATION.search(text) is not None or _spelling(encoder).is_nonsense(in_english(text)))


@lru_cache(maxsize=1)
def _spelling(encoder: LiteEncoder) -> Spelling:
    """Return how the words of an encoder are spelt, counted once."""
    return Spelling(encoder.vocabulary)


def reasons_not_understood(encoder: SharedEncoder, queries: Sequence[Query]) -> list[str | None]:
    """Say for each query why it is not understood; None where it is, and for queries that are not words.

    Of several parts, the first that is not understood tells.
    """
    return [_reason_of(encoder, query) for query in queries]


def _reason_of(encoder: SharedEncoder, query: Query) -> str | None:
    """Say why a query, or one of its parts, is not understood."""
    if query.parts is not None:
        return next((reason for reason in reasons_not_understood(encoder, query.parts) if reason is not None), None)
    return None if query.text is None else _reason(encoder, query.text)


def _reason(encoder: SharedEncoder, text: str) -> str | None:
    """Say why words are not understood."""
    score = understanding(encoder, text)
    if score >= LEAST_COSINE:
        return None
    if _NEGATION.search(text):
        return "negations are not understood; name what is to be separated, and take the residual for the rest"
    return "not understood; name a sound in English, such as 'violin' or 'dog barking'"
