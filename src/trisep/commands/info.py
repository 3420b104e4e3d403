"""`trisep info`: the card of a checkpoint."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Show a checkpoint's card: what it is, what it was trained on, under which licences, and how well it does.

    For example:

        trisep info default
        trisep info run/model
    """

    file: Annotated[Positional[str], arg(metavar="FILE")]
    """A checkpoint, or a model's name (see: trisep models)."""


def run(arguments: Arguments) -> int:
    """Print the card as JSON; returns 0."""
    import json

    from trisep.checkpoints.registry import read_model_card

    print(json.dumps(read_model_card(arguments.file), ensure_ascii=False, indent=1))
    return 0
