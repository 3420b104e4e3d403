"""What `trisep evaluate`, `trisep compare` and `trisep listening-test` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg, subcommand

from trisep.arguments import Device, require_not_negative, require_positive
from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateArguments:
    """Score a checkpoint, baselines, or both by a protocol: a frozen list of mixtures whose sources are known.

    For example:

        trisep evaluate default --data avmini
        trisep evaluate run/model --data avmini --query image --out scores
        trisep evaluate --data avmini --baseline mixture --baseline nmf-mfcc --out scores

    Run again after an interruption, it continues.
    """

    checkpoint: Annotated[Positional[str | None], arg(metavar="NAME|PATH")] = None
    """A model's name (see: trisep models) or a checkpoint; may be left out where baselines are given."""
    data: Annotated[Path, arg(metavar="FOLDER|LIST")]
    """The list of the protocol's clips: a CSV (path, split, label), a folder with manifest.csv, or what trisep data wrote."""
    media: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where the list's paths start from; the default is its own folder."""
    protocol: str = "avmini"
    """Name of the protocol."""
    pairs: Annotated[Path | None, arg(metavar="CSV")] = None
    """Take the mixtures of this list (path_1, label_1, path_2, label_2; as pairs.csv of --out) in place of the protocol's own."""
    query: Literal["text", "image", "video", "region"] = "text"
    """What the model is asked with."""
    baseline: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    """Another system to score: mixture, random-mask, nmf-mfcc, rpca, ideal-binary-mask, ideal-ratio-mask (the default)."""
    masks: Literal["protocol", "soft", "binary"] = "protocol"
    """Whether the model's masks are binarised; the default is the protocol's rule."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the table, the score of every source and the pair list."""
    seed: int = 0
    """Seed of the pair list, the baselines and the bootstrap."""
    workers: int | None = None
    """Processes at work; the default is one per processor."""
    limit: int | None = None
    """Score only so many mixtures of the list, from its start."""
    skip_missing: FlagCreatePairsOff[bool] = False
    """Count mixtures with missing or unreadable clips as skipped."""
    device: Device = "auto"
    """Where the model computes; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and a command that would score nothing."""
        require_positive(workers=self.workers, limit=self.limit)
        require_not_negative(seed=self.seed)
        if self.checkpoint is None and not self.baseline:
            raise ConfigError("nothing to score: give a model's name, a checkpoint, or a system with --baseline, for example mixture")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareArguments:
    """Compare two evaluations of the same mixtures, source by source: which is better, by how much, on which classes.

    For example:

        trisep compare scores_a scores_b --out comparison
        trisep compare scores/text.csv scores/image.csv --metric snr
        trisep compare scores scores --system-b ideal-ratio-mask
    """

    a: Annotated[Positional[Path], arg(metavar="A")]
    """A folder or table that trisep evaluate wrote."""
    b: Annotated[Positional[Path], arg(metavar="B")]
    """Another, or the same with --system-b."""
    metric: str = "sdri"
    """The column that is compared."""
    system_a: Annotated[str | None, arg(metavar="NAME")] = None
    """Which system of A; the default is its first."""
    system_b: Annotated[str | None, arg(metavar="NAME")] = None
    """Which system of B; the default is its first."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for comparison.md, comparison.csv and comparison.png."""
    seed: int = 0
    """Seed of the bootstrap and the permutation test."""

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes."""
        require_not_negative(seed=self.seed)


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
        """Refuse a command that names no clips, or both kinds, and numbers out of range."""
        if (self.samples is None) == (not self.model):
            raise ConfigError("listening-test build: give either --samples, or --model (as often as needed) with --data")
        if self.model and self.data is None:
            raise ConfigError("listening-test build: --model needs --data, the folder of the protocol's clips")
        require_positive(count=self.count)
        require_not_negative(seed=self.seed)


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
        """Refuse a command without answers, and a seed that no generator takes."""
        if not self.answers:
            raise ConfigError("listening-test score: give at least one file of answers, as the page saves them")
        require_not_negative(seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningTestArguments:
    """Ask people which sound they hear in separated clips: make the page for it, then score the answers.

    For example:

        trisep listening-test build --model default --data avmini --out test
        trisep listening-test score answers/*.csv --key test/key.csv
    """

    action: Annotated[ListeningBuildArguments, subcommand(name="build")] | Annotated[ListeningScoreArguments, subcommand(name="score")]
    """What to do."""
