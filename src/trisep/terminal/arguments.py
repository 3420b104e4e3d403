"""The words of a command line: which are refused, what is wrong with them, and how help shows an option."""

import contextlib
import io
import os
import re
from collections.abc import Hashable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from trisep.errors import ConfigError


def refuse_empty(argv: Sequence[str]) -> None:
    """Raise ConfigError for an empty word, which a path would take for the current folder; a shell makes one of an
    unset variable. The same for a word with a zero byte, which only a program can give.
    """
    for before, word in pairwise(["trisep", *argv]):
        if "\0" in word:
            raise ConfigError(f"the argument after {before!r}: holds a zero byte, which no name or text has; remove it")
        if not word or re.fullmatch("--[^=]+=", word):
            place = word[:-1] if word else f"the argument after {before!r}"
            raise ConfigError(
                f"{place}: expected words, a name or a path, got ''; fill it in (. is this folder) or leave it out"
            )


def read_words(kind: Any, words: Sequence[str], *, program: str) -> Any:
    """Read the words after the name of a program and its verb into a dataclass of this kind.

    Prints and raises SystemExit(0) for --help, and ConfigError, with what is wrong, where the words cannot be read.
    """
    import tyro  # a fifth of a second, which the overview does without

    report = io.StringIO()
    try:
        with contextlib.redirect_stderr(report):
            arguments = tyro.cli(
                plainly_described(kind), prog=program, args=list(words), config=(tyro.conf.OmitSubcommandPrefixes,)
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ConfigError(f"{mistake(report.getvalue(), words)}; see: {program} --help") from None
    _refuse_huge(arguments)
    return arguments


def _refuse_huge(arguments: Any) -> None:
    """Raise ConfigError for a whole number that takes more than 64 bits, which libraries refuse in words of theirs."""
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        if is_dataclass(value):
            _refuse_huge(value)
        elif isinstance(value, int) and abs(value) >= 2**63:
            raise ConfigError(f"--{field.name.replace('_', '-')}: expected a number below 2^63, got {value}")


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
        return f"{found[1]}: expected {kind}, got {found[2]}" if kind else said.removeprefix("Error parsing ")
    if found := re.match(r"invalid choice (.+) for argument '([^']+)'\. Expected one of \((.*)\)$", said):
        choices = re.findall("'([^']*)'", found[3])
        if "None" in choices:  # an option that may be left out: tyro has lost the order
            choices = sorted(choice for choice in choices if choice != "None")
        return f"{found[2]}: expected {'one of ' * (len(choices) > 1)}{', '.join(choices)}, got {found[1]}"
    if found := re.match("Missing value for argument '([^']+)'", said):
        options = [word for word in words if word.startswith("-") and found[1] != word]
        before = "" if found[1].startswith("-") or not options else f" before {options[0]}"
        return f"{found[1]}: expected a value{before}, got none"
    if "Perhaps you meant:" in rows:
        said += f"; perhaps you meant {rows[rows.index('Perhaps you meant:') + 1].strip()}"
    return said


@cache
def plainly_described(kind: Any) -> Any:
    """Keep Python's None and False out of the help of a dataclass, and of the dataclasses that it offers as choices.

    A default of None means that nothing is given, which the help text explains; False is a flag that is left out.
    """
    from tyro.conf import arg

    for field in fields(kind):
        form, tags = _without_tags(kind.__annotations__[field.name])
        plain = [
            _without_tags(part)[0] for part in (get_args(form) if get_origin(form) in (Union, UnionType) else [form])
        ]
        if field.default is None or field.default is False:
            # In front, since a metavar of the field's own counts more.
            hidden = arg(help_behavior_hint="", metavar=_metavar(plain) if field.default is None else None)
            kind.__annotations__[field.name] = Annotated[(form, hidden, *tags)]
        for part in plain:
            if is_dataclass(part):
                plainly_described(cast(Hashable, part))
    return kind


def _without_tags(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the type of Annotated[type, tags] and its tags; of any other type there are none."""
    return (annotation.__origin__, annotation.__metadata__) if hasattr(annotation, "__metadata__") else (annotation, ())


def _metavar(types: Sequence[Any]) -> str:
    """Return what help shows for a value of one of some types, but for that of None."""
    form, *_ = [one for one in types if one is not NoneType]
    return f"{{{','.join(get_args(form))}}}" if get_origin(form) is Literal else form.__name__.upper()
