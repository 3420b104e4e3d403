"""What `trisep listening-test` can be told. Like `trisep.arguments`, it computes nothing and imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg, subcommand

from trisep.arguments import Device
from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningBuildArguments:
    """Make the page, from models that separate mixtures of a protocol, or from clips that are there already.

    For example:

        trisep listening-test build --model default --model default=image --data avmini --out test
        trisep listening-test build --samples clips.csv --out test

    Send out the folder DIR/page; keep DIR/key.csv.
    """

    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for page/index.html and key.csv; made if absent."""
    model: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME[=text|image]")] = ()
    """A model's name or a checkpoint, and how it is asked: text, or image."""
    data: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where the protocol's clips are."""
    protocol: str = "avmini"
    """Name of the protocol that the mixtures are drawn from."""
    count: int = 10
    """Mixtures, each heard once as it is and once from each model."""
    samples: Annotated[Path | None, arg(metavar="CSV|FOLDER")] = None
    """Clips that are there already: a table (or a folder with samples.csv) of model, query_kind, file, label_a, label_b."""
    seed: int = 0
    """Seed of the mixtures, and of which of their two sounds is asked for."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Refuse a command that names no clips, or both kinds."""
        if (self.samples is None) == (not self.model):
            raise ConfigError("listening-test build: give either --samples, or --model (as often as needed) with --data")
        if self.model and self.data is None:
            raise ConfigError("listening-test build: --model needs --data, the folder of the protocol's clips")
        if self.count < 1:
            raise ConfigError(f"--count must be above 0, got {self.count}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningScoreArguments:
    """Print what people heard, as in CLIPSep's Table 5: a row for each model and kind of query.

    For example:

        trisep listening-test score answers/*.csv --key test/key.csv
    """

    answers: Annotated[Positional[tuple[Path, ...]], arg(metavar="ANSWERS ...")]
    """The files that the page saved, one for each person."""
    key: Annotated[Path, arg(metavar="FILE")]
    """The key.csv that was made with the page."""
    seed: int = 0
    """Seed of the bootstrap over people."""

    def __post_init__(self) -> None:
        """Refuse a command without answers."""
        if not self.answers:
            raise ConfigError("listening-test score: give at least one file of answers, as the page saves them")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningTestArguments:
    """Ask people which sound they hear in separated clips: make the page for it, then score the answers.

    For example:

        trisep listening-test build --model default --data avmini --out test
        trisep listening-test score answers/*.csv --key test/key.csv
    """

    action: Annotated[ListeningBuildArguments, subcommand(name="build")] | Annotated[ListeningScoreArguments, subcommand(name="score")]
    """What to do."""
