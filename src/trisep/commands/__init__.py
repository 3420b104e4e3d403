"""The verbs of the command line; each is one file, found by its name.

A file holds `Arguments`, a frozen dataclass whose docstrings are the help texts, and `run(arguments)`, which returns
the exit code and imports what it needs when it is called. Nothing is computed here: each `run` calls one function of
the library, which raises TrisepError for a mistake of the user. The file `listening_test.py` is the verb
`listening-test`; a trailing underscore, as in `import_.py`, is dropped. What the files share stands here: how verbs are
found, the help of them all, the checks of their numbers, and the exit code of those that leave things out.
"""

import ast
import importlib
import math
import pkgutil
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Literal

from trisep.errors import ConfigError

_OVERVIEW = """usage: trisep VERB …

Separate the sounds of a video by what you name or point at.

{verbs}

For example:

    trisep separate clip.mp4 "violin" "rooster barking"
    trisep separate talk.mp4 "traffic" --remove --into-video
    trisep separate clip.mp4 --image photo.jpg
    trisep localize clip.mp4 "violin" --out heat.mp4

Each verb explains itself: trisep separate --help · version: trisep --version
"""
Device = Literal["auto", "cpu", "cuda", "mps"]
_FIRST = (
    *("separate", "localize", "tag", "web", "models", "info", "doctor"),
    *("data", "prepare", "embed", "store", "train", "push", "evaluate", "compare"),
)
"""The order in which help shows these verbs; all others follow."""


def verbs() -> dict[str, str]:
    """Return the module of each verb, in the order in which help shows them."""
    modules = {module.name.rstrip("_").replace("_", "-"): module.name for module in pkgutil.iter_modules(__path__)}
    return {
        name: modules[name]
        for name in (*(name for name in _FIRST if name in modules), *sorted(modules.keys() - set(_FIRST)))
    }


def load_verb(name: str) -> ModuleType:
    """Import the file of a verb, which is one of `verbs()`."""
    return importlib.import_module(f"{__name__}.{verbs()[name]}")


def summary(name: str) -> str:
    """Return the beginning of a verb's help, up to its first colon, semicolon or full stop.

    The file is read and not imported, so that the overview of all verbs is instant.
    """
    tree = ast.parse((Path(__path__[0]) / f"{verbs()[name]}.py").read_text(encoding="utf-8"))
    docstrings = (
        ast.get_docstring(node) for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Arguments"
    )
    first_paragraph = (next(docstrings, None) or "").partition("\n\n")[0]
    return re.split(r"[:;.](?:\s|$)", " ".join(first_paragraph.split()))[0]


def overview() -> str:
    """Return what `trisep --help` prints: all verbs, within 80 columns."""
    rows = []
    for name in verbs():
        first, *rest = textwrap.wrap(summary(name), 60) or [""]
        rows += [f"  {name:16s}{first}", *(f"{'':18s}{line}" for line in rest)]
    return _OVERVIEW.format(verbs="\n".join(rows))


def require_positive(**values: float | None) -> None:
    """Raise ConfigError for the first value that is not above zero or not finite; None means not given."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{_option(name)} must be {'finite' if value == math.inf else 'above 0'}, got {value}")


def require_not_negative(**values: float | None) -> None:
    """Raise ConfigError for the first value below zero or not finite; None means not given."""
    for name, value in values.items():
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(
                f"{_option(name)} must {'be finite' if value == math.inf else 'not be negative'}, got {value}"
            )


def require_between(low: float, high: float, **values: float | None) -> None:
    """Raise ConfigError for the first value outside `low` to `high`, both of which are valid; None means not given."""
    for name, value in values.items():
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{_option(name)} must be between {low} and {high}, got {value}")


def end_of_one_result(num_left_out: int, what: str, *, strict: bool) -> int:
    """Say on stderr how much was left out of the one result of a verb, and return the exit code.

    A store, a table or a list that is there is a success, whatever could not be used: 0. With `--strict` it is 1 where
    anything was left out (docs/decisions/0021-what-was-left-out.md).
    """
    if num_left_out:
        print(f"trisep: {num_left_out} {what}", file=sys.stderr)
    return int(strict and num_left_out > 0)


def bits_per_second(rate: str) -> int:
    """Read a bit rate as people write it: "192k" or "192000"; ConfigError for anything else."""
    found = re.fullmatch(r"(\d{1,9})(k?)", rate.strip().lower())
    if found is None:
        raise ConfigError(f"--audio-bitrate: expected bits per second, such as 192k, got {rate!r}")
    return int(found[1]) * (1000 if found[2] else 1)


def _option(name: str) -> str:
    """Return the name of a value as the command line spells it."""
    return f"--{name.replace('_', '-')}"
