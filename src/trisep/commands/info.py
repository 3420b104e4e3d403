"""`trisep info`: a model → its card."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Show a model's card: its kind, its training data, their licences, and its scores.

    For example:

        trisep info default
        trisep info run/model
    """

    file: Annotated[Positional[str], arg(metavar="FILE")]
    """A model, by name (see: trisep models) or checkpoint folder."""


def run(arguments: Arguments) -> int:
    """Print the card as JSON; returns 0."""
    import json

    from trisep.checkpoints.registry import read_model_card

    print(json.dumps(read_model_card(arguments.file), ensure_ascii=False, indent=1))
    return 0
