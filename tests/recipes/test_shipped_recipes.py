"""The recipes of the shipped models are what the models' cards say that they were trained with."""

import dataclasses
import json
from typing import Any

import pytest

from trisep.checkpoints.format import read_card
from trisep.checkpoints.registry import checkpoint_folder
from trisep.recipes import recipe

NOT_OF_THE_MODEL = {"training.validation_steps"}


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings by their dotted paths."""
    found = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


LAST_LEG = {
    "optimizer.learning_rate",
    "optimizer.warmup_steps",
    "training.num_steps",
    "training.precision",
    "training.seed",
}
"""What the last leg of a model had otherwise than the recipe, which is that of one long run."""


@pytest.mark.parametrize("model", ["default", "unlabelled"])
def test_a_shipped_model_was_trained_with_the_recipe_that_its_card_names(model: str) -> None:
    card = read_card(checkpoint_folder(model))
    stated = flat(card["recipe"])
    found = flat(json.loads(json.dumps(dataclasses.asdict(recipe(stated["name"])))))
    assert len(stated) > 60 and stated["training.num_steps"] == card["step"]
    compared = set(stated) - LAST_LEG - NOT_OF_THE_MODEL
    assert {name: found.get(name) for name in compared} == {name: stated[name] for name in compared}
