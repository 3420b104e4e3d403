"""`trisep analyze`: trained models → analyses, each a table and a figure."""

import importlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from trisep.commands import Device, require_not_negative, require_positive
from trisep.errors import ConfigError

Teacher = Literal["lite", "efficientat-mn04", "clap"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeArguments:
    """Fit a linear classifier to the bottleneck of networks, and score it on other clips (HFRA, Table 4).

    For example:

        trisep analyze probe run/model aligned/model --train store --test dev_store --labels manifest.csv --out probe
        trisep analyze probe run/model --train store --test dev_store --labels list.csv --out probe --teacher clap

    The score shows how much a network knows of the classes, although it was trained without labels.
    """

    checkpoints: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME|PATH ...")]
    """Models, by name (see: trisep models) or checkpoint folder; the others are compared with the first."""
    train: Annotated[Path, arg(metavar="STORE")]
    """The clip store that the classifier is fitted on."""
    test: Annotated[Path, arg(metavar="STORE")]
    """The clip store that the classifier is scored on; it must share no clip with the other."""
    labels: Annotated[Path, arg(metavar="CSV")]
    """The class of each clip in both stores: a CSV with the columns path, label."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for probe.md, probe.csv, probe.png and probe_classes.csv."""
    teacher: Teacher | None = None
    """Also probe the embeddings of this frozen audio network, as a ceiling."""
    limit: int | None = None
    """Use only this many clips of each store, drawn at random."""
    seed: int = 0
    """Seed of the folds, the bootstrap and --limit."""
    device: Device = "auto"
    """Device that the networks compute on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range, or without a checkpoint."""
        require_positive(limit=self.limit)
        require_not_negative(seed=self.seed)
        _require_checkpoints("probe", self.checkpoints)


@dataclass(frozen=True, kw_only=True, slots=True)
class GapArguments:
    """Measure how far apart sounds and pictures of the same clips lie in a network's space (HFRA, Table 5).

    For example:

        trisep analyze gap run/model --data dev_store --out gap
        trisep analyze gap run/model aligned/model --data dev_store --out gap

    The network's bottleneck must be as wide as that space: train it with --set model.unet.bottleneck_width=D.
    """

    checkpoints: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME|PATH ...")]
    """Models, by name (see: trisep models) or checkpoint folder; the others are compared with the first."""
    data: Annotated[Path, arg(metavar="STORE")]
    """A clip store that the encoders of the models embedded."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for gap.md, gap.csv and gap.png."""
    frames: int = 1
    """How many frames around the middle of a clip are averaged into its visual vector."""
    limit: int | None = None
    """Use only this many clips, drawn at random."""
    seed: int = 0
    """Seed of the bootstrap and --limit."""
    device: Device = "auto"
    """Device that the networks compute on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range, or without a checkpoint."""
        require_positive(limit=self.limit, frames=self.frames)
        require_not_negative(seed=self.seed)
        _require_checkpoints("gap", self.checkpoints)


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionArguments:
    """Show which classes gain by one evaluation over another (HFRA, Fig. 1).

    For example:

        trisep analyze fusion scores_late scores_middle --out fusion
        trisep analyze fusion scores_late scores_middle --media avmini --out fusion

    The paper compares two kinds of fusion; any two evaluations of the same mixtures can be compared.
    """

    a: Annotated[Positional[Path], arg(metavar="A")]
    """A folder or table that trisep evaluate wrote."""
    b: Annotated[Positional[Path], arg(metavar="B")]
    """Another one, of the same mixtures."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for fusion.md, fusion.csv and fusion.png."""
    metric: str = "sdri"
    """The column that is compared."""
    system_a: Annotated[str | None, arg(metavar="NAME")] = None
    """The system of A to compare; the default is the first."""
    system_b: Annotated[str | None, arg(metavar="NAME")] = None
    """The system of B to compare; the default is the first."""
    media: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder that the tables' paths are relative to: also measure attack, flatness, harmonicity and stationarity of the
    sounds, and how the gains go with them."""
    seed: int = 0
    """Seed of the bootstrap and the permutation tests."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a negative seed."""
        require_not_negative(seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueriesArguments:
    """Show whether the wording of a query matters, on the same mixtures (CLIPSep, Appendix G).

    For example:

        trisep analyze queries default --data avmini --out wordings
        trisep analyze queries run/model --data avmini --limit 200 --paraphrases mine.csv --out wordings

    It compares single templates and paraphrases with the mean of templates that trisep separate uses.
    """

    checkpoint: Annotated[Positional[str], arg(metavar="NAME|PATH")]
    """A model that reads words, by name (see: trisep models) or checkpoint folder."""
    data: Annotated[Path, arg(metavar="FOLDER|LIST")]
    """The list of the protocol's clips, as for trisep evaluate."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for queries.md, queries.csv, queries.png, the score of every source, and the pair list."""
    protocol: str = "avmini"
    """Name of the protocol."""
    paraphrases: Annotated[Path | None, arg(metavar="CSV")] = None
    """Other words for the labels: a CSV with the columns label, wording; the default is for the classes of avmini."""
    metric: str = "sdri"
    """The score that is shown."""
    limit: int | None = 40
    """Score only this many mixtures of the list, from its start."""
    seed: int = 0
    """Seed of the pair list, the bootstrap and the permutation tests."""
    device: Device = "auto"
    """Device that the model computes on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range."""
        require_positive(limit=self.limit)
        require_not_negative(seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureArguments:
    """Draw one mixture as a network takes it apart: truth, estimates, noise heads and masks (CLIPSep, Figs. 5, 12–16).

    For example:

        trisep analyze mixture default --data avmini --out picture
        trisep analyze mixture default --data avmini --mixture 3 --words "violin" "a fiddle" --out picture
    """

    checkpoint: Annotated[Positional[str], arg(metavar="NAME|PATH")]
    """A model of spectrograms, by name (see: trisep models) or checkpoint folder."""
    data: Annotated[Path, arg(metavar="FOLDER|LIST")]
    """The list of the protocol's clips, as for trisep evaluate."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for mixture.md, mixture.csv and mixture.png."""
    protocol: str = "avmini"
    """Name of the protocol."""
    mixture: int = 0
    """Which mixture of its list, counted from 0."""
    query: Literal["text", "image", "video"] = "text"
    """The kind of query for the first source."""
    words: Annotated[tuple[str, ...], arg(metavar="TEXT ...")] = ()
    """Texts that ask for the first source as they stand, each in a column of its own; the default asks by --query."""
    seed: int = 0
    """Seed of the pair list."""
    device: Device = "auto"
    """Device that the model computes on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range."""
        require_not_negative(seed=self.seed, mixture=self.mixture)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Analyse trained models: each analysis writes a table and a figure.

    For example:

        trisep analyze gap run/model --data dev_store --out gap
        trisep analyze queries default --data avmini --out wordings
    """

    analysis: (
        Annotated[ProbeArguments, subcommand(name="probe")]
        | Annotated[GapArguments, subcommand(name="gap")]
        | Annotated[FusionArguments, subcommand(name="fusion")]
        | Annotated[QueriesArguments, subcommand(name="queries")]
        | Annotated[MixtureArguments, subcommand(name="mixture")]
    )
    """The analysis to run."""


def _require_checkpoints(analysis: str, checkpoints: tuple[str, ...]) -> None:
    if not checkpoints:
        raise ConfigError(f"analyze {analysis}: give at least one model's name or checkpoint, for example default")
    if len(set(checkpoints)) < len(checkpoints):
        raise ConfigError(f"analyze {analysis}: give each checkpoint once, got {', '.join(checkpoints)}")


_NAMES = {
    ProbeArguments: "probe",
    GapArguments: "gap",
    FusionArguments: "fusion",
    QueriesArguments: "queries",
    MixtureArguments: "mixture",
}


def run(arguments: Arguments) -> int:
    """Run the chosen analysis with the fields of its dataclass, and print its table; returns 0."""
    from trisep.errors import needs_extra
    from trisep.media.lock import locked

    name = _NAMES[type(arguments.analysis)]
    with needs_extra(f"trisep analyze {name}", "analysis"):
        analyze = getattr(importlib.import_module(f"trisep.analyses.{name}"), f"analyze_{name}")
    with locked(arguments.analysis.out):
        text = analyze(**{entry.name: getattr(arguments.analysis, entry.name) for entry in fields(arguments.analysis)})
    print(text)
    return 0
