"""A checkpoint's card as people read it. This file reads no weights."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

_WIDTH = 80
_INDENT = 17
_TEXTS = ("supervision", "data", "data_licences", "licence", "limits")
"""Entries that are sentences, in the order in which they are shown."""
_SCORES = ("dev", "metrics")


def card_lines(card: Mapping[str, Any]) -> list[str]:
    """Return the card in lines of at most 80 columns: what the model is, what it learned from, and how well it does."""
    version = f", version {card['version']}" if card.get("version") else ""
    lines = [f"{card.get('name') or (card.get('recipe') or {}).get('name') or card['model']}{version}"]
    lines += _wrapped(str(card.get("description", "")), _WIDTH)
    signal = card.get("signal") or {}
    lines += _entry("kind", f"{card['model']}, encoder {card.get('encoder')}, {signal.get('sample_rate_hz')} Hz")
    lines += _entry("trained", _training(card))
    if card.get("weights_bytes"):
        lines += _entry("weights", f"{card['weights_bytes'] / 1e6:.1f} MB, {card.get('path', '')}")
    for name in _TEXTS:
        if card.get(name):
            lines += _entry(name.replace("_", " "), str(card[name]))
    for name in _SCORES:
        for label, value in _flat(card.get(name) or {}):
            lines += _entry("scores", f"{label}: {value}")
    return lines


def _training(card: Mapping[str, Any]) -> str:
    """Say by which recipe, for how long, and from which model."""
    recipe, init = card.get("recipe") or {}, card.get("init") or {}
    text = f"recipe {recipe.get('name')}, {card.get('step')} steps"
    return f"{text}, from {init.get('name')} after {init.get('step')} steps" if init else text


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path of names, value) of nested values, numbers rounded."""
    for name, value in values.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{label}, ")
        else:
            yield label, f"{value:.3g}" if isinstance(value, float) else str(value)


def _entry(name: str, text: str) -> list[str]:
    """Return an entry, its text wrapped beside its name."""
    heads = [f"  {name:{_INDENT - 2}}"]
    lines = _wrapped(text, _WIDTH - _INDENT)
    return [f"{heads.pop() if heads else ' ' * _INDENT}{line}" for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of so many cells of a terminal at most."""
    lines = Text(" ".join(text.split())).wrap(Console(width=width), width)
    return [line.plain.rstrip() for line in lines if line.plain]
