"""What `trisep data`, `trisep prepare`, `trisep embed` and `trisep store` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from trisep.arguments import FPS_RANGE, require_between, require_not_negative, require_positive
from trisep.datasets import DataSetName, SplitRule
from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class DataArguments:
    """Look at every clip that a data set lists: which files are there, which can serve, and what is wrong with the others.

    For example:

        trisep data status music --metadata MUSIC_solo_videos.json MUSIC_duet_videos.json --media videos --out lists
        trisep data status folder --media my_videos
        trisep prepare videos --clips lists/train.csv --out store

    Run again after an interruption, it continues. Nothing is downloaded.
    """

    action: Annotated[Positional[Literal["status"]], arg(metavar="status")]
    """What to do."""
    name: Annotated[Positional[DataSetName], arg(metavar="NAME")]
    """Data set: music, music21, solos, audioset, vggsound, vggsound-clean, esc50, or folder for videos of your own."""
    media: Annotated[Path, arg(metavar="DIR")]
    """Folder of the media files, searched through all its levels."""
    metadata: Annotated[tuple[Path, ...], arg(metavar="FILE ...")] = ()
    """The data set's files as published; see docs/datasets.md."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the lists of usable clips, one for each split, their labels, and the report."""
    rule: SplitRule | None = None
    """How music, music21 and solos are split; the default is the papers'."""
    command: Annotated[str | None, arg(metavar="TEMPLATE")] = None
    """Your own command for each missing clip, with {id}, {start}, {end} (seconds) and {out} (the file to write)."""
    min_seconds: Annotated[float, arg(metavar="SECONDS")] = 1.0
    """Clips with less sound are too short."""
    silence_db: Annotated[float, arg(metavar="DBFS")] = -60.0
    """Clips below this level are silent."""
    still_level: Annotated[float, arg(metavar="0..255")] = 1.0
    """Clips whose frames differ by no more than this many grey levels are still."""
    workers: int | None = None
    """Processes at work; the default is one per processor."""
    json: FlagCreatePairsOff[bool] = False
    """Print the report as JSON."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        require_positive(workers=self.workers)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareArguments:
    """Turn a folder of videos into a clip store for training; clips that cannot serve are skipped and counted.

    For example:

        trisep prepare my_videos --out store
        trisep prepare my_videos --out store --sample-rate-hz 11025 --workers 4
        trisep prepare my_videos --clips lists/train.csv --out store
        trisep prepare my_videos --out store --cluster auto

    Run again after an interruption, it continues.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Folder of videos, searched through all its levels."""
    out: Annotated[Path, arg(metavar="STORE")]
    """The clip store to write or to continue."""
    fps: float = 1.0
    """Pictures kept per second of video."""
    sample_rate_hz: Annotated[int, arg(metavar="HZ")] = 16000
    """Rate the sound is brought to."""
    max_seconds: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Use only so much of each file, from its start."""
    exclude: Annotated[Path | None, arg(metavar="LIST")] = None
    """A list of SHA-256 sums or paths of files to leave out."""
    clips: Annotated[tuple[Path, ...], arg(metavar="LIST ...")] = ()
    """Use only the files and stretches on these lists (see: trisep data)."""
    audio_only_ok: FlagCreatePairsOff[bool] = False
    """Keep sound without a picture: for off-screen noise."""
    workers: int | None = None
    """Processes at work; the default is one per processor."""
    cluster: Annotated[str | None, arg(metavar="local|auto|HOST:PORT")] = None
    """Work through Ray, on this machine or on a cluster whose machines see the same files; see docs/scale.md."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and to limit a cluster."""
        if self.workers is not None and self.cluster not in (None, "local"):
            raise ConfigError(f"--workers counts processes of this machine, and the cluster {self.cluster} knows its own; leave it out")
        require_between(*FPS_RANGE, fps=self.fps)
        require_positive(sample_rate_hz=self.sample_rate_hz, max_seconds=self.max_seconds, workers=self.workers)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedArguments:
    """Look at every picture of a clip store once, with a frozen encoder, and keep the embeddings beside it.

    For example:

        trisep embed store --encoder lite
        trisep embed store --encoder lite --no-regions
        trisep embed store --encoder lite --captions --nearest-words 10
        trisep embed store --encoder lite --cluster local

    Run again after an interruption, it continues.
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A clip store that trisep prepare made."""
    encoder: str = "lite"
    """Name of the shared image and text encoder."""
    regions: bool = True
    """Whether to keep one embedding per region of each picture, too."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace embeddings that another version of the encoder made, and captions sought in another way."""
    captions: FlagCreatePairsOff[bool] = False
    """Also seek a latent caption for each clip: words that the encoder reads as its picture."""
    tokens: Annotated[int, arg(metavar="1..4")] = 3
    """Length of a latent caption."""
    seed: int = 0
    """Draws the words that the search for captions begins with."""
    nearest_words: Annotated[int, arg(metavar="CLIPS")] = 0
    """Print the captions of so many clips, as the words nearest to them."""
    cluster: Annotated[str | None, arg(metavar="local|auto|HOST:PORT")] = None
    """Work through Ray, on this machine or on a cluster whose machines see the same files; see docs/scale.md."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and words of captions that nobody asked for."""
        require_between(1, 4, tokens=self.tokens)
        require_not_negative(nearest_words=self.nearest_words)
        if self.nearest_words and not self.captions:
            raise ConfigError("--nearest-words shows latent captions: add --captions")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreArguments:
    """Verify a clip store: every count and hash of its manifest against the files.

    For example:

        trisep store check store
    """

    action: Annotated[Positional[Literal["check"]], arg(metavar="check")]
    """What to do with it."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A clip store that trisep prepare made."""
