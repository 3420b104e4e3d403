"""What `trisep import`, `trisep models` and `trisep info` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

PublishedKind = Literal["clipsep", "clipsep-nit", "clipsep-middle", "sound-of-pixels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportArguments:
    """Turn a state dict that a paper's authors published into a checkpoint; only tensors are read from it, and nothing is run.

    For example:

        trisep import best.pt --as clipsep-nit --out clipsep-nit
        trisep separate clip.mp4 "violin" --model clipsep-nit
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The published file: a PyTorch state dict or safetensors; for sound-of-pixels also the folder of its three files."""
    kind: Annotated[PublishedKind, arg(name="as")]
    """Which published network it is."""
    out: Annotated[Path, arg(metavar="DIR")]
    """The checkpoint folder to write."""
    encoder: str = "clip-vit-b32"
    """Name of the encoder that the network was trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsArguments:
    """List the models that can be given to --model.

    For example:

        trisep models
        trisep models --json
    """

    json: FlagCreatePairsOff[bool] = False
    """Print a JSON list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InfoArguments:
    """Show a checkpoint's card: what it is, what it was trained on, under which licences, and how well it does.

    For example:

        trisep info default
        trisep info run/model
    """

    file: Annotated[Positional[str], arg(metavar="FILE")]
    """A checkpoint, or a model's name (see: trisep models)."""
