"""`trisep import`: a state dict that the authors of a paper published → a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from trisep.checkpoints import PublishedKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Turn the state dict of a paper's authors into a checkpoint.

    For example:

        trisep import best.pt --as clipsep-nit --out clipsep-nit
        trisep separate clip.mp4 "violin" --model clipsep-nit

    Only tensors are read from the file; no code in it is run.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The published file: a PyTorch state dict or safetensors; for sound-of-pixels also the folder of three files."""
    kind: Annotated[PublishedKind, arg(name="as")]
    """Which published network the file holds."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for the checkpoint."""
    encoder: str = "clip-vit-b32"
    """Name of the encoder that the network was trained with."""


def run(arguments: Arguments) -> int:
    """Convert the file and print where the checkpoint is; returns 0."""
    from trisep.checkpoints.published import import_checkpoint

    encoder = None if arguments.kind == "sound-of-pixels" else arguments.encoder
    import_checkpoint(arguments.file, arguments.kind, arguments.out, encoder=encoder)
    queries = "pictures" if encoder is None else f"whatever the encoder {encoder} embeds"
    print(f"{arguments.out}: {arguments.kind} from {arguments.file}; it takes {queries} as queries")
    return 0
