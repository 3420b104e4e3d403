"""`trisep embed`: the pictures of a clip store → embeddings beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from trisep.commands import require_between, require_not_negative, require_positive
from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Embed the pictures of a clip store with a frozen encoder; the embeddings are written beside it.

    For example:

        trisep embed store --encoder lite
        trisep embed store --encoder lite --no-regions
        trisep embed store --encoder lite --captions --nearest-words 10
        trisep embed store --encoder lite --boxes lite
        trisep embed store --encoder lite --cluster local --workers 2

    After an interruption, run the same command again to continue.
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A clip store that trisep prepare made."""
    encoder: str = "lite"
    """Name of the shared image and text encoder."""
    regions: bool = True
    """Whether to write one embedding per region of each picture, too."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace embeddings by another version of the encoder, and captions made with other settings."""
    captions: FlagCreatePairsOff[bool] = False
    """Also search for a latent caption of each clip: tokens that the text encoder maps to what the picture shows."""
    tokens: Annotated[int, arg(metavar="1..4")] = 3
    """Length of a latent caption, in tokens."""
    seed: int = 0
    """Seed of the words that the search for captions begins with."""
    nearest_words: Annotated[int, arg(metavar="CLIPS")] = 0
    """Print the captions of this many clips, as the words nearest to their tokens."""
    boxes: Annotated[str | None, arg(metavar="lite|CSV")] = None
    """Also embed boxes around things, which Co-Separation and AVSGS learn from: those that lite finds, or of a
    detector's list (path, x, y, width, height, label, score; optional: time_seconds; shares of the picture)."""
    max_boxes: int = 4
    """Largest number of boxes of a frame, the surest ones; AVSGS takes 14 of each of three frames."""
    cluster: Annotated[str | None, arg(metavar="local|auto|HOST:PORT")] = None
    """Use Ray, on this machine or on a cluster whose machines see the same files; see docs/scale.md."""
    workers: int | None = None
    """Number of processes with --cluster local; the default is one per processor."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range, or an option without the one that it belongs to."""
        require_between(1, 4, tokens=self.tokens)
        require_not_negative(nearest_words=self.nearest_words)
        require_positive(max_boxes=self.max_boxes, workers=self.workers)
        if self.workers is not None and self.cluster != "local":
            raise ConfigError("--workers counts the processes of --cluster local; leave it out, or give both")
        if self.nearest_words and not self.captions:
            raise ConfigError("--nearest-words shows latent captions: add --captions")


def run(arguments: Arguments) -> int:
    """Embed the store; returns 0."""
    from rich.console import Console

    from trisep.queries.captions import CaptionSettings
    from trisep.store.boxes import BoxSettings
    from trisep.store.embed import embed

    report = embed(
        arguments.store,
        arguments.encoder,
        regions=arguments.regions,
        captions=CaptionSettings(num_tokens=arguments.tokens, seed=arguments.seed) if arguments.captions else None,
        boxes=BoxSettings(source=arguments.boxes, max_boxes=arguments.max_boxes) if arguments.boxes else None,
        num_shown=arguments.nearest_words,
        overwrite=arguments.overwrite,
        cluster=arguments.cluster,
        num_workers=arguments.workers,
        console=Console(),
    )
    earlier = f" ({report.num_resumed_shards} from an earlier run)" if report.num_resumed_shards else ""
    print(
        f"{report.store}: {report.num_frames} frames in {report.num_shards} shards{earlier}, embedded with "
        f"{report.encoder}"
    )
    return 0
