"""`trisep models`: the models that --model takes."""

from dataclasses import dataclass

from tyro.conf import FlagCreatePairsOff


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """List the models that can be given to --model.

    For example:

        trisep models
        trisep models --json
    """

    json: FlagCreatePairsOff[bool] = False
    """Print a JSON list."""


def run(arguments: Arguments) -> int:
    """Print the models; returns 0."""
    import json

    from trisep.checkpoints.registry import describe_models

    rows = describe_models()
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        print(f"{row['name']:16s} {row['description']}")
    if not rows:
        print("no model comes with this installation; give --model the folder of a checkpoint")
    return 0
