"""`trisep push`: a checkpoint → the hub."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Put a model on the Hugging Face hub, with a card for people and the sums of its files.

    For example:

        trisep push run hf:me/birds
        trisep push run/model hf:me/birds@v2 --private
        trisep separate clip.mp4 "robin" --model hf:me/birds@v2

    The variable TRISEP_HUB names a folder that takes the place of the hub, such as one on a shared disk.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """The folder of a training run, a checkpoint folder, or the name of a model."""
    to: Annotated[Positional[str], arg(metavar="hf:OWNER/NAME[@REV]")]
    """Where to put it; REV is a branch, which is made if absent."""
    private: FlagCreatePairsOff[bool] = False
    """Make a new repository private."""


def run(arguments: Arguments) -> int:
    """Push the checkpoint and print where it is; returns 0."""
    from pathlib import Path

    from trisep.checkpoints.hub import push_checkpoint
    from trisep.checkpoints.registry import checkpoint_folder

    run_folder = Path(arguments.run) / "model"
    folder = run_folder if run_folder.is_dir() else checkpoint_folder(arguments.run)
    print(push_checkpoint(folder, arguments.to, private=arguments.private))
    return 0
