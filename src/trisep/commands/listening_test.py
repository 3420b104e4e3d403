"""`trisep listening-test`: separated clips → a page that people answer; their answers → a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg, subcommand

from trisep.commands import Device, require_not_negative, require_positive
from trisep.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildArguments:
    """Make the page, from models that separate mixtures of a protocol, or from clips that exist already.

    For example:

        trisep listening-test build --model default --model default=image --data avmini --out test
        trisep listening-test build --samples clips.csv --out test

    Send the folder DIR/page to the raters, and keep DIR/key.csv.
    """

    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for page/index.html and key.csv; it is made if absent."""
    model: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME[=text|image]")] = ()
    """A model, by name or checkpoint folder, and the kind of its queries: text (the default) or image."""
    data: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the protocol's clips."""
    protocol: str = "avmini"
    """Name of the protocol that the mixtures are drawn from."""
    count: int = 10
    """Number of mixtures; each is in the test once as it is and once for each model."""
    samples: Annotated[Path | None, arg(metavar="CSV|FOLDER")] = None
    """Clips that exist already: a table of model, query_kind, file, label_a, label_b, or a folder with samples.csv."""
    seed: int = 0
    """Seed of the mixtures, and of which of their two sounds is the target."""
    device: Device = "auto"
    """Device to compute on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a command that names no clips or both kinds, and for numbers out of range."""
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
    """Print the answers as in CLIPSep's Table 5: one row for each model and kind of query.

    For example:

        trisep listening-test score answers/*.csv --key test/key.csv
    """

    answers: Annotated[Positional[tuple[Path, ...]], arg(metavar="ANSWERS ...")]
    """The files that the page saved, one for each person."""
    key: Annotated[Path, arg(metavar="FILE")]
    """The key.csv that was made with the page."""
    seed: int = 0
    """Seed of the bootstrap over raters."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a command without answers, and for a negative seed."""
        if not self.answers:
            raise ConfigError("listening-test score: give at least one file of answers, as the page saves them")
        require_not_negative(seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Ask people which sound they hear in separated clips: make the page, then score the answers.

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
