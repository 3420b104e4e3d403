"""The settings of recipes by dotted paths, which of them pages state, and the tables of these pages."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trisep.recipes import recipe

_OF_A_RUN = tuple(f"training.{name}" for name in ("checkpoint_steps", "num_validation_mixtures", "seed"))
NOT_OF_A_PAPER = ("name", "citation", "claims", "augmentation", "training.precision", *_OF_A_RUN)
"""What a run is called, how it is kept, and what has a test or a table of its own."""
DIVISION_OF_LABOUR = "model.chunk_regions"
NOT_STATED = ("name", "citation", "claims", DIVISION_OF_LABOUR, "training.validation_steps", *_OF_A_RUN)
"""What a run is called and how it is kept."""
SMALL = "-avmini"
"""The names of the recipes for small computers end so."""
GONE = "–"
"""Stands for the value of a setting that a variant does not have."""


def papers(name: str) -> dict[str, Any]:
    """The settings of a recipe that a paper could print."""
    return {
        path: value
        for path, value in settings_of(recipe(name))
        if path != DIVISION_OF_LABOUR and not path.startswith(NOT_OF_A_PAPER)
    }


def stated(name: str) -> dict[str, Any]:
    """The settings of a recipe that the page of the small ones states."""
    return {path: value for path, value in settings_of(recipe(name)) if not path.startswith(NOT_STATED)}


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
