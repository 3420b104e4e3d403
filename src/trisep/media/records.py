"""JSON and words → frozen dataclasses: the one validator of everything that is read as settings, entries and cards.

A file of JSON is a regular file of bounded size and depth, without NaN and infinities. A value fits its field when it
is of the field's type: a number is finite and below 2⁶³, a truth value is no number, a tuple has its length, a literal
is one of its words, a name is known and none is missing. Ranges are checked by the dataclass itself, in
`__post_init__`. Every failure is a ConfigError on one line, which names the place as a dotted path. This file knows no
particular dataclass.
"""

import difflib
import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from trisep.errors import ConfigError

MAX_JSON_BYTES = 32 << 20
"""The largest JSON file, or line of one, that is read."""
MAX_JSON_DEPTH = 64
_LARGEST = 2**63
"""Numbers of this size and above are none of a setting."""
_SHOWN = 60
_PLAIN = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}

Config = TypeVar("Config")
Reader = Callable[[Any, str], Any]
"""(value of JSON, its dotted path) → value of the field."""


def read_json(path: Path) -> Any:
    """Read the value of a JSON file; ConfigError for what is no regular file, too large, too deep or no JSON."""
    try:
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "no such file"
            raise ConfigError(f"{path}: {what}; check the name")
        with path.open("rb") as file:
            return parse_json(file.read(MAX_JSON_BYTES + 1))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not readable as JSON ({error})") from error


def parse_json(text: bytes | str) -> Any:
    """Return the value of a JSON text; ValueError where it is none, is too large or nested too deep, or holds a NaN."""
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"more than {MAX_JSON_BYTES >> 20} MiB")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError(f"nested more than {MAX_JSON_DEPTH} deep") from error
    _require_shallow(value)
    return value


def from_json(kind: type[Config], values: Any, path: str = "") -> Config:
    """Build a frozen dataclass, with those inside it, from the result of `asdict` and JSON.

    Raises ConfigError for unknown or missing names, and for values that do not fit their fields; and what the
    dataclass itself raises for values out of range.
    """
    known: Any = kind  # mypy takes a class for what cannot be hashed
    built: Config = _dataclass_reader(known)(values, path)
    return built


def checked(hint: Any, value: Any, path: str) -> Any:
    """Return a value of JSON as the type `hint` has it; ConfigError, which names `path`, where it is of another."""
    return _reader(hint)(value, path)


def with_changes(config: Any, changes: Mapping[str, str], prefix: str = "") -> Any:
    """Return a tree of frozen dataclasses in which values are replaced, given as words by dotted path.

    All are replaced at once, so that their order does not matter and only the result has to make sense. Raises
    ConfigError, with `prefix` before the path, for one that is unknown or leads to a group, and for words that are no
    value of the field.
    """
    own: dict[str, Any] = {}
    below: dict[str, dict[str, str]] = {}
    hints = _hints(config.__class__)
    for path, words in changes.items():
        name, dot, rest = path.partition(".")
        current = _current(config, name, prefix + path)
        if dot and is_dataclass(current):
            below.setdefault(name, {})[rest] = words
        elif dot:
            raise ConfigError(f"{prefix}{path}: '{name}' is a value, not a group")
        elif is_dataclass(current):
            names = ", ".join(entry.name for entry in fields(current))
            raise ConfigError(f"{prefix}{path}: '{name}' is a group; name one of {names}")
        else:
            own[name] = checked(hints[name], _from_words(hints[name], words), prefix + path)
    inside = {name: with_changes(getattr(config, name), rest, f"{prefix}{name}.") for name, rest in below.items()}
    return replace(config, **own, **inside)


def _current(config: Any, name: str, place: str) -> Any:
    """Return the value of a field; ConfigError with the nearest name where there is none."""
    names = [entry.name for entry in fields(config)]
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"expected one of {', '.join(names)}"
        raise ConfigError(f"{_short(place)}: unknown name {_shown(name)}; {hint}")
    return getattr(config, name)


def _from_words(hint: Any, words: str) -> Any:
    """Return what JSON would have for words; the words themselves where they are no value of that type."""
    options = get_args(hint)
    if get_origin(hint) is tuple:
        items = words.strip("()[] ")
        return [_from_words(options[0], item.strip()) for item in items.split(",")] if items else []
    if get_origin(hint) in (Union, UnionType):
        return None if words.lower() == "none" else _from_words(_without_none(options), words)
    if hint is bool:
        return {"true": True, "false": False}.get(words.lower(), words)
    if hint in (int, float):
        try:
            return hint(words)
        except ValueError:
            return words
    return words


@functools.cache
def _reader(hint: Any) -> Reader:
    """Return the function that brings a value of JSON to a type."""
    origin, options = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value, path: value
    if hint in _PLAIN:
        return functools.partial(_plain, hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_reader(hint)
    if origin is Literal:
        return functools.partial(_one_of, options)
    if origin in (Union, UnionType) and NoneType in options:
        inside = _reader(_without_none(options))
        return lambda value, path: None if value is None else inside(value, path)
    if origin is tuple and options[-1] is ...:
        return functools.partial(_sequence, _reader(options[0]))
    if origin is tuple:
        return functools.partial(_fixed, tuple(map(_reader, options)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_mapping, _reader(options[1]))
    raise TypeError(f"{hint}: is no type of a value that JSON could hold")


def _without_none(options: tuple[Any, ...]) -> Any:
    """Return the one type of a union besides None."""
    (kind,) = (option for option in options if option is not NoneType)
    return kind


def _plain(kind: type, value: Any, path: str) -> Any:
    """Return a truth value, number or text."""
    if kind in (int, float) and not isinstance(value, bool):
        fits = isinstance(value, int if kind is int else int | float) and abs(value) < _LARGEST
    else:
        fits = isinstance(value, kind) and (kind in (bool, str))
    return kind(value) if fits else _refuse(_PLAIN[kind], value, path)


def _one_of(options: tuple[Any, ...], value: Any, path: str) -> Any:
    if any(value == option and type(value) is type(option) for option in options):
        return value
    return _refuse(f"one of {', '.join(map(str, options))}", value, path)


def _sequence(inside: Reader, value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        _refuse("a list", value, path)
    return tuple(inside(item, path) for item in value)


def _fixed(inside: tuple[Reader, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or len(value) != len(inside):
        _refuse(f"{len(inside)} values", value, path)
    return tuple(read(item, path) for read, item in zip(inside, value, strict=True))


def _mapping(inside: Reader, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        _refuse("an object", value, path)
    return {name: inside(item, f"{path}.{_short(name)}") for name, item in value.items()}


@functools.cache
def _dataclass_reader(kind: Any) -> Reader:
    """Return the function that builds a dataclass."""
    readers = {entry.name: _reader(_hints(kind)[entry.name]) for entry in fields(kind)}
    required = [entry.name for entry in fields(kind) if entry.default is MISSING and entry.default_factory is MISSING]

    def read(values: Any, path: str) -> Any:
        """Build it from a mapping."""
        if not isinstance(values, Mapping):
            _refuse(f"the settings of {kind.__name__}", values, path)
        prefix = f"{path}." if path else ""
        for name in values:
            if name not in readers:
                raise ConfigError(f"{prefix}{_short(str(name))}: unknown setting; was it made by another version?")
        for name in required:
            if name not in values:
                raise ConfigError(f"{prefix}{name}: is missing; was it made by another version?")
        return kind(**{name: readers[name](value, prefix + name) for name, value in values.items()})

    return read


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _refuse(expected: str, value: Any, path: str) -> NoReturn:
    raise ConfigError(f"{path or 'the content'}: expected {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a value for an error message, on one line and not long, however large it is."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return "a number beyond 2^63"
    return repr(_short(value)) if isinstance(value, str) else "null" if value is None else str(value)


def _short(text: str) -> str:
    """Return the beginning of a text, on one line."""
    text = " ".join(text[: 2 * _SHOWN].split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _refuse_constant(name: str) -> NoReturn:
    """Raise ValueError for NaN and infinities, which JSON does not have and Python reads."""
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:_SHOWN]} is too large a number")
    return value


def _require_shallow(value: Any) -> None:
    """Raise ValueError for a value that is nested too deep."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            item
            for entry in level
            if isinstance(entry, dict | list)
            for item in (entry.values() if isinstance(entry, dict) else entry)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_JSON_DEPTH} deep")
