"""The command `trisep`: reads the command line into a dataclass of `arguments`, calls that verb, and turns errors into exit codes.

Exit codes: 0 all done · 1 some inputs skipped · 2 the user's error, or nothing done (one line on stderr) · 130 interrupted.
It knows nothing of sounds or models, and imports a verb's module only once that verb is to run.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any

import tyro
from tyro.conf import OmitSubcommandPrefixes, subcommand

from trisep.arguments.analysis import AnalyzeArguments
from trisep.arguments.checkpoints import ImportArguments, InfoArguments, ModelsArguments
from trisep.arguments.evaluation import CompareArguments, EvaluateArguments, ListeningBuildArguments, ListeningTestArguments
from trisep.arguments.preparation import DataArguments, EmbedArguments, PrepareArguments, StoreArguments
from trisep.arguments.separation import LocalizeArguments, SeparateArguments
from trisep.arguments.training import TrainArguments
from trisep.errors import ConfigError, TrisepError

DESCRIPTION = """Separate the sounds of a video by what you name or point at.

    trisep separate clip.mp4 "violin" "rooster barking" --out stems

Each verb explains itself: trisep separate --help"""

Arguments = (
    SeparateArguments
    | LocalizeArguments
    | DataArguments
    | PrepareArguments
    | EmbedArguments
    | StoreArguments
    | TrainArguments
    | EvaluateArguments
    | CompareArguments
    | AnalyzeArguments
    | ListeningTestArguments
    | ImportArguments
    | ModelsArguments
    | InfoArguments
)
_Command = (
    Annotated[SeparateArguments, subcommand(name="separate")]
    | Annotated[LocalizeArguments, subcommand(name="localize")]
    | Annotated[DataArguments, subcommand(name="data")]
    | Annotated[PrepareArguments, subcommand(name="prepare")]
    | Annotated[EmbedArguments, subcommand(name="embed")]
    | Annotated[StoreArguments, subcommand(name="store")]
    | Annotated[TrainArguments, subcommand(name="train")]
    | Annotated[EvaluateArguments, subcommand(name="evaluate")]
    | Annotated[CompareArguments, subcommand(name="compare")]
    | Annotated[AnalyzeArguments, subcommand(name="analyze")]
    | Annotated[ListeningTestArguments, subcommand(name="listening-test")]
    | Annotated[ImportArguments, subcommand(name="import")]
    | Annotated[ModelsArguments, subcommand(name="models")]
    | Annotated[InfoArguments, subcommand(name="info")]
)


def _separate(arguments: SeparateArguments) -> int:
    from trisep.separate import run

    return run(arguments)


def _localize(arguments: LocalizeArguments) -> int:
    from trisep.localize import run

    return run(arguments)


def _data(arguments: DataArguments) -> int:
    from trisep.data_status import run

    return run(arguments)


def _prepare(arguments: PrepareArguments) -> int:
    from rich.console import Console

    from trisep.prepare import PrepareSettings, prepare

    settings = PrepareSettings(
        frames_per_second=arguments.fps,
        sample_rate_hz=arguments.sample_rate_hz,
        max_seconds=arguments.max_seconds,
        exclude=arguments.exclude,
        clips=arguments.clips,
        audio_only_ok=arguments.audio_only_ok,
        cluster=arguments.cluster,
    )
    if arguments.workers is not None:
        settings = replace(settings, num_workers=arguments.workers)
    report = prepare(arguments.folder, arguments.out, settings, console=Console())
    return int(report.num_used_inputs < report.num_inputs)


def _embed(arguments: EmbedArguments) -> int:
    from rich.console import Console

    from trisep.captions import CaptionSettings
    from trisep.embed import embed

    embed(
        arguments.store,
        arguments.encoder,
        regions=arguments.regions,
        captions=CaptionSettings(num_tokens=arguments.tokens, seed=arguments.seed) if arguments.captions else None,
        num_shown=arguments.nearest_words,
        overwrite=arguments.overwrite,
        cluster=arguments.cluster,
        console=Console(),
    )
    return 0


def _store(arguments: StoreArguments) -> int:
    from rich.console import Console

    from trisep.store.check import check_store

    check_store(arguments.store, console=Console()).raise_if_damaged()
    return 0


def _train(arguments: TrainArguments) -> int:
    from trisep.recipes import override, recipe
    from trisep.train import TrainSettings, train

    settings = TrainSettings(
        data=arguments.data,
        out=arguments.out,
        offscreen=arguments.offscreen,
        validation=arguments.validation,
        init=arguments.init,
        labels=arguments.labels,
        cpu=arguments.device == "cpu",
        num_workers=arguments.workers,
    )
    print(train(override(recipe(arguments.recipe), arguments.overrides), settings))
    return 0


def _evaluate(arguments: EvaluateArguments) -> int:
    from trisep.evaluate import run

    return run(arguments)


def _compare(arguments: CompareArguments) -> int:
    from trisep.compare import run

    return run(arguments)


def _analyze(arguments: AnalyzeArguments) -> int:
    from trisep.analyses import run

    return run(arguments)


def _listening_test(arguments: ListeningTestArguments) -> int:
    if isinstance(arguments.action, ListeningBuildArguments):
        from trisep.listening import build

        return build.run(arguments.action)
    from trisep.listening import score

    return score.run(arguments.action)


def _import(arguments: ImportArguments) -> int:
    from trisep.convert import run

    return run(arguments)


def _models(arguments: ModelsArguments) -> int:
    from trisep.catalogue import run_models

    return run_models(arguments)


def _info(arguments: InfoArguments) -> int:
    from trisep.catalogue import run_info

    return run_info(arguments)


# Each imports its verb only when called, so that --help needs no torch, and returns the exit code.
VERBS: dict[type, Callable[[Any], int]] = {
    SeparateArguments: _separate,
    LocalizeArguments: _localize,
    DataArguments: _data,
    PrepareArguments: _prepare,
    EmbedArguments: _embed,
    StoreArguments: _store,
    TrainArguments: _train,
    EvaluateArguments: _evaluate,
    CompareArguments: _compare,
    AnalyzeArguments: _analyze,
    ListeningTestArguments: _listening_test,
    ImportArguments: _import,
    ModelsArguments: _models,
    InfoArguments: _info,
}


def parse(argv: Sequence[str]) -> Arguments:
    """Read a command line, without the program's name.

    Prints and raises SystemExit(0) for --help. Raises SystemExit(2) after one line on stderr where the line cannot be read, and
    a TrisepError where it can be read but asks for something that makes no sense.
    """
    _refuse_empty(argv)
    report = io.StringIO()
    try:
        with contextlib.redirect_stderr(report):
            arguments: Arguments = tyro.cli(
                _Command,
                prog="trisep",
                description=DESCRIPTION,
                args=list(argv),
                config=(OmitSubcommandPrefixes,),
            )
    except SystemExit as stop:
        if stop.code:
            _complain(_one_line(report.getvalue()))
        raise
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        code = VERBS[type(arguments)](arguments)
        sys.stdout.flush()
        return code
    except TrisepError as error:
        _complain(str(error))
    except BrokenPipeError:
        # Python flushes stdout once more on its way out; with the pipe gone that would end in a second, unreadable message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _complain("the output was cut short: the program reading it has gone")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
    except KeyboardInterrupt:
        print("trisep: interrupted", file=sys.stderr)
        return 130
    return 2


def _refuse_empty(argv: Sequence[str]) -> None:
    """Raise ConfigError for an empty word, which a path would take for the folder one stands in; a shell makes one of an unset variable."""
    for before, word in pairwise(["trisep", *argv]):
        if not word or re.fullmatch("--[^=]+=", word):
            place = word[:-1] if word else f"the argument after {before!r}"
            raise ConfigError(f"{place}: expected words, a name or a path, got ''; fill it in (. is this folder) or leave it out")


def _complain(message: str) -> None:
    """Print an error on stderr, on one line whatever the message holds."""
    print(f"trisep: error: {' '.join(message.split())}", file=sys.stderr)


def _one_line(report: str) -> str:
    """Condense tyro's boxed report to its statement: what stands above the first rule, without help texts, and near misses of a name."""
    rows = [line.strip("│ \t") for line in report.splitlines()]
    rows = [row for row in rows if row and not row.startswith(("╭", "╰")) and not row.endswith("(required)")]
    rules = [index for index, row in enumerate(rows) if set(row) == {"─"} or row == "Got errors:"]
    statement = " ".join(rows[: rules[0]] if rules else rows).rstrip(".")
    if "Perhaps you meant:" in rows:
        statement += f"; perhaps you meant {rows[rows.index('Perhaps you meant:') + 1]}"
    return f"{statement}; see: trisep --help"


if __name__ == "__main__":
    sys.exit(main())
