"""`trisep analyze`: looking into what was trained."""

import importlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from trisep.commands import Device, require_not_negative, require_positive
from trisep.errors import ConfigError

Teacher = Literal["efficientat-mn04", "clap"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeArguments:
    """What a network's bottleneck knows of classes: a linear classifier on it, fitted on training clips, scored on
    others (HFRA, Table 4).

    For example:

        trisep analyze probe run/model aligned/model --train store --test dev_store --labels manifest.csv --out probe
        trisep analyze probe run/model --train store --test dev_store --labels list.csv --out probe --teacher clap
    """

    checkpoints: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME|PATH ...")]
    """Models' names (see: trisep models) or checkpoints; the first is what the others are compared with."""
    train: Annotated[Path, arg(metavar="STORE")]
    """The clips that the classifier is fitted on."""
    test: Annotated[Path, arg(metavar="STORE")]
    """The clips that it is scored on; none may be among the others."""
    labels: Annotated[Path, arg(metavar="CSV")]
    """What is heard in each clip of both: a CSV with the columns path, label."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for probe.md, probe.csv and probe.png."""
    teacher: Teacher | None = None
    """Also probe the embeddings of this frozen audio network, as the ceiling."""
    limit: int | None = None
    """Take only so many clips of each store, drawn at random."""
    seed: int = 0
    """Seed of the folds, the bootstrap and --limit."""
    device: Device = "auto"
    """Where the networks compute; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and a command without a checkpoint."""
        require_positive(limit=self.limit)
        require_not_negative(seed=self.seed)
        _require_checkpoints("probe", self.checkpoints)


@dataclass(frozen=True, kw_only=True, slots=True)
class GapArguments:
    """How far apart sounds and pictures of the same clips lie in a network's space (HFRA, Table 5).

    For example:

        trisep analyze gap run/model --data dev_store --out gap
        trisep analyze gap run/model aligned/model --data dev_store --out gap

    The network's bottleneck has to be as wide as the space: --set model.unet.bottleneck_width=D in training.
    """

    checkpoints: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME|PATH ...")]
    """Models' names (see: trisep models) or checkpoints; the first is what the others are compared with."""
    data: Annotated[Path, arg(metavar="STORE")]
    """Clips, embedded by the checkpoints' encoders."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for gap.md, gap.csv and gap.png."""
    frames: int = 1
    """How many frames around the middle of a clip make its visual vector, their mean."""
    limit: int | None = None
    """Take only so many clips, drawn at random."""
    seed: int = 0
    """Seed of the bootstrap and --limit."""
    device: Device = "auto"
    """Where the networks compute; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and a command without a checkpoint."""
        require_positive(limit=self.limit, frames=self.frames)
        require_not_negative(seed=self.seed)
        _require_checkpoints("gap", self.checkpoints)


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionArguments:
    """Which classes gain by one way of fusing query and sound over another (HFRA, Fig. 1); any two evaluations will do.

    For example:

        trisep analyze fusion scores_late scores_middle --out fusion
    """

    a: Annotated[Positional[Path], arg(metavar="A")]
    """A folder or table that trisep evaluate wrote."""
    b: Annotated[Positional[Path], arg(metavar="B")]
    """Another, of the same mixtures."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for fusion.md, fusion.csv and fusion.png."""
    metric: str = "sdri"
    """The column that is compared."""
    system_a: Annotated[str | None, arg(metavar="NAME")] = None
    """Which system of A; the default is its first."""
    system_b: Annotated[str | None, arg(metavar="NAME")] = None
    """Which system of B; the default is its first."""
    seed: int = 0
    """Seed of the bootstrap and the permutation tests."""

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes."""
        require_not_negative(seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueriesArguments:
    """Whether the wording of a query matters: templates, paraphrases and the mean of templates on the same mixtures
    (CLIPSep, Appendix G).

    For example:

        trisep analyze queries default --data avmini --out wordings
        trisep analyze queries run/model --data avmini --limit 200 --paraphrases mine.csv --out wordings
    """

    checkpoint: Annotated[Positional[str], arg(metavar="NAME|PATH")]
    """A model's name (see: trisep models) or a checkpoint that is asked in words."""
    data: Annotated[Path, arg(metavar="FOLDER|LIST")]
    """The list of the protocol's clips, as for trisep evaluate."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for queries.md, queries.csv, queries.png, the score of every source, and the pair list."""
    protocol: str = "avmini"
    """Name of the protocol."""
    paraphrases: Annotated[Path | None, arg(metavar="CSV")] = None
    """Other words for the labels: a CSV with the columns label, wording; the default is a table for avmini's classes.
    """
    metric: str = "sdri"
    """The score that is shown."""
    limit: int | None = 40
    """Score only so many mixtures of the list, from its start."""
    seed: int = 0
    """Seed of the pair list, the bootstrap and the permutation tests."""
    device: Device = "auto"
    """Where the model computes; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        require_positive(limit=self.limit)
        require_not_negative(seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Look into what was trained: each analysis writes a table and a figure.

    For example:

        trisep analyze gap run/model --data dev_store --out gap
        trisep analyze queries default --data avmini --out wordings
    """

    analysis: (
        Annotated[ProbeArguments, subcommand(name="probe")]
        | Annotated[GapArguments, subcommand(name="gap")]
        | Annotated[FusionArguments, subcommand(name="fusion")]
        | Annotated[QueriesArguments, subcommand(name="queries")]
    )
    """Which analysis."""


def _require_checkpoints(analysis: str, checkpoints: tuple[str, ...]) -> None:
    if not checkpoints:
        raise ConfigError(f"analyze {analysis}: give at least one model's name or checkpoint, for example default")
    if len(set(checkpoints)) < len(checkpoints):
        raise ConfigError(f"analyze {analysis}: give each checkpoint once, got {', '.join(checkpoints)}")


_NAMES = {ProbeArguments: "probe", GapArguments: "gap", FusionArguments: "fusion", QueriesArguments: "queries"}


def run(arguments: Arguments) -> int:
    """Run the chosen analysis, whose function takes what the dataclass holds, and print its table; returns 0."""
    name = _NAMES[type(arguments.analysis)]
    analyze = getattr(importlib.import_module(f"trisep.analyses.{name}"), f"analyze_{name}")
    print(analyze(**{entry.name: getattr(arguments.analysis, entry.name) for entry in fields(arguments.analysis)}))
    return 0
