"""`trisep info`: a model → its card."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Show a model's card: its kind, its training data, their licences, and its scores.

    For example:

        trisep info default
        trisep info run/model
        trisep info default --json
    """

    file: Annotated[Positional[str], arg(metavar="FILE")]
    """A model, by name (see: trisep models), checkpoint folder or hf:OWNER/NAME."""
    json: FlagCreatePairsOff[bool] = False
    """Print the whole card as JSON, with the recipe and all its settings."""


def run(arguments: Arguments) -> int:
    """Print the card; returns 0."""
    import json

    from trisep.checkpoints.card import card_lines
    from trisep.checkpoints.registry import read_model_card

    card = read_model_card(arguments.file)
    print(json.dumps(card, ensure_ascii=False, indent=1) if arguments.json else "\n".join(card_lines(card)))
    return 0
