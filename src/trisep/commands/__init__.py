"""The verbs of the command line; each is one file, found by its name.

A file holds `Arguments`, a frozen dataclass whose docstrings are the help texts, and `run(arguments)`, which returns
the exit code and imports what it needs when it is called. Nothing is computed here: each `run` calls one function of
the library, which raises TrisepError for a mistake of the user. The file `listening_test.py` is the verb
`listening-test`; a trailing underscore, as in `import_.py`, is dropped. What the files share stands here: how verbs are
found, the checks of their numbers, and how a command line that cannot be read is told.
"""

import ast
import importlib
import math
import os
import pkgutil
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Literal

from trisep.errors import ConfigError

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


def mistake(report: str, words: Sequence[str]) -> str:
    """Say in plain words what tyro's boxed report finds wrong with the words of a command line.

    Names the argument, what was expected and what came; where a word is the name of a file that begins with a dash, it
    says how to write that.
    """
    for word in words:
        if word.startswith("-") and os.path.exists(word):
            return f"{word}: a name that begins with a dash is taken for an option; write ./{word}"
    lines = report.splitlines()
    # Where the terminal lacks the lines of a box, a title and a rule of dashes stand in the place of its upper edge.
    lines = [line[2:].rstrip("│ ") for line in (lines[1:] if report.startswith("╭") else lines[2:]) if line[:1] != "╰"]
    rows = [line for line in lines if line]
    rules = [index for index, row in enumerate(rows) if set(row) in ({"─"}, {"-"}) or row == "Got errors:"]
    head = rows[: rules[0]] if rules else rows
    said = " ".join(row.strip() for row in head).rstrip(".")
    if said.startswith("Missing from"):
        return f"missing: {', '.join(row.strip() for row in head if re.match(r' {4}[^ ]', row))}"
    if found := re.match(r"Error parsing ([^:]+): .*?((['\"]).*\3)\]?$", said):
        text = " ".join(rows)
        kind = "a whole number" if "int()" in text else "a number" if "to float" in text else ""
        return f"{found[1]}: expected {kind}, got {found[2]}" if kind else said
    if found := re.match(r"invalid choice (.+) for argument '([^']+)'\. Expected one of \((.*)\)$", said):
        choices = re.findall("'([^']*)'", found[3])
        if "None" in choices:  # an option that may be left out: tyro has lost the order
            choices = sorted(choice for choice in choices if choice != "None")
        return f"{found[2]}: expected {'one of ' * (len(choices) > 1)}{', '.join(choices)}, got {found[1]}"
    if found := re.match("Missing value for argument '([^']+)'", said):
        options = [word for word in words[1:] if word.startswith("-") and found[1] != word]
        before = "" if found[1].startswith("-") or not options else f" before {options[0]}"
        return f"{found[1]}: expected a value{before}, got none"
    if "Perhaps you meant:" in rows:
        said += f"; perhaps you meant {rows[rows.index('Perhaps you meant:') + 1].strip()}"
    return said


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


def bits_per_second(rate: str) -> int:
    """Read a bit rate as people write it: "192k" or "192000"; ConfigError for anything else."""
    found = re.fullmatch(r"(\d{1,9})(k?)", rate.strip().lower())
    if found is None:
        raise ConfigError(f"--audio-bitrate: expected bits per second, such as 192k, got {rate!r}")
    return int(found[1]) * (1000 if found[2] else 1)


def _option(name: str) -> str:
    """Return the name of a value as the command line spells it."""
    return f"--{name.replace('_', '-')}"
