"""Assignments as `--set` takes them: any path, any value, in two orders."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from benchmarks.fuzz.mutations import WORDS
from trisep.errors import ConfigError
from trisep.recipes import override, recipe, recipe_names

_VALUES = (
    "0",
    "1",
    "2",
    "3",
    "4",
    "7",
    "16",
    "64",
    "0.5",
    "0.999",
    "1e-3",
    "lite",
    "none",
    "clip-vit-b32",
    "text",
    "image",
    "labels",
)


def prepare(folder: Path) -> None:
    """Recipes come with the package."""


def attempt(generator: Random, examples: Path, folder: Path) -> None:
    """Change a recipe; build its network without memory. The order of the assignments changes nothing."""
    base = recipe(generator.choice(recipe_names()))
    paths = list(_paths(base))
    drawn = [_assignment(generator, paths) for _ in range(generator.randint(1, 5))]
    assignments = list({word.partition("=")[0].strip(): word for word in drawn}.values())
    first, second = (_outcome(base, order) for order in (assignments, assignments[::-1]))
    if isinstance(first, ConfigError) != isinstance(second, ConfigError) or (
        first != second and not isinstance(first, ConfigError)
    ):
        raise AssertionError(f"the order of {assignments} changes the result: {first} and {second}")
    if isinstance(first, ConfigError):
        raise first
    with torch.device("meta"):
        first.model.build()


def _outcome(base: Any, assignments: list[str]) -> Any:
    try:
        return override(base, tuple(assignments))
    except ConfigError as error:
        return error


def _paths(config: Any, prefix: str = "") -> Any:
    """Yield the dotted path of every setting with its value."""
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from _paths(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def _assignment(generator: Random, paths: list[tuple[str, Any]]) -> str:
    path, value = generator.choice(paths)
    if generator.random() < 0.1:
        path = generator.choice(
            (path.partition(".")[0], path[:-1], path + ".x", path.upper(), "", ".", generator.choice(WORDS))
        )
    kind = generator.randrange(5)
    if kind == 0:
        text = generator.choice(WORDS)
    elif kind == 1 and isinstance(value, int | float):
        text = str(value * generator.choice((-1, 0, 0.5, 2, 4, 1000, 10**12)))
    elif kind == 2:
        text = str(value).strip("()").replace("'", "")
    else:
        text = generator.choice(_VALUES)
    return f"{path}={text}" if generator.random() < 0.97 else path
