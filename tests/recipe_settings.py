"""The settings of recipes by dotted paths, and the tables of pages that state them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_tables(page: Path) -> dict[str, list[list[str]]]:
    """The rows of every table of a page, by its heading; cells are stripped of their quotes."""
    found: dict[str, list[list[str]]] = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            found[line.removeprefix("## ").replace("`", "")] = []
        elif line.startswith("| ") and found:
            found[list(found)[-1]].append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    return {heading: rows[1:] for heading, rows in found.items()}


def settings_of(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting below a configuration by its dotted path; models and losses also by their class."""
    for field in dataclasses.fields(config):
        path, value = prefix + field.name, getattr(config, field.name)
        if not dataclasses.is_dataclass(value):
            yield path, value
            continue
        if path in ("model", "loss"):
            yield path, f"{type(value).__module__.rpartition('.')[2]}.{type(value).__name__}"
        yield from settings_of(value, f"{path}.")
