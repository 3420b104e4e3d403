"""`trisep listening-test`: a page that asks people what they hear, and the table of their answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg, subcommand

from trisep.commands import Device, require_not_negative, require_positive
from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildArguments:
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
    """Clips that are there already: a table (or a folder with samples.csv) of model, query_kind, file, label_a,
    label_b.
    """
    seed: int = 0
    """Seed of the mixtures, and of which of their two sounds is asked for."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Refuse a command that names no clips, or both kinds, and numbers out of range."""
        if (self.samples is None) == (not self.model):
            raise ConfigError(
                "listening-test build: give either --samples, or --model (as often as needed) with --data"
            )
        if self.model and self.data is None:
            raise ConfigError("listening-test build: --model needs --data, the folder of the protocol's clips")
        require_positive(count=self.count)
        require_not_negative(seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreArguments:
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
class Arguments:
    """Ask people which sound they hear in separated clips: make the page for it, then score the answers.

    For example:

        trisep listening-test build --model default --data avmini --out test
        trisep listening-test score answers/*.csv --key test/key.csv
    """

    action: Annotated[BuildArguments, subcommand(name="build")] | Annotated[ScoreArguments, subcommand(name="score")]
    """What to do."""


def run(arguments: Arguments) -> int:
    """Build the page, or score the answers; returns 0."""
    action = arguments.action
    if isinstance(action, BuildArguments):
        from trisep.listening.build import make_test

        print(
            make_test(
                action.out,
                models=action.model,
                data=action.data,
                protocol=action.protocol,
                count=action.count,
                samples=action.samples,
                seed=action.seed,
                device=action.device,
            )
        )
        return 0
    from trisep.listening.score import score_test

    print(score_test(action.answers, action.key, seed=action.seed))
    return 0
