"""The miniature benchmark: train every arm of `arms.py` alike, score all systems under one protocol, write one page.

    python benchmarks/mini --data AVMINI --store STORE --validation STORE --out RUNS [--steps 500] [--seeds 1 2] \
        [--mixtures 60]

STORE are clip stores of avmini's training and dev clips, embedded with `lite` (`trisep prepare`, `trisep embed`; the
arms of boxes need `--boxes lite --max-boxes 3`, too). Run again after an interruption, it goes on; whatever is
finished is kept. With --batch, --precision and --protocols it makes a smaller page of its own. The arms with an audio
teacher need TRISEP_EFFICIENTAT to name the teacher's file.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from arms import arms
from exit_codes import exit_code
from page import Report, write_page
from rows import arm_rows, baseline_rows, shipped_rows
from runs import Run, hours_of_training, planned_runs, train_all
from scores import BASELINES, PROTOCOLS, ScoringSettings, hours_of_scoring

ALL_PROTOCOLS = tuple(PROTOCOLS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """What the command can be told."""

    data: Path
    store: Path
    validation: Path
    out: Path
    steps: int
    seeds: list[int]
    batch: int | None
    precision: str
    protocols: list[str]
    one_query: bool
    arms: list[str]
    mixtures: int
    baselines: list[str]
    models: list[str]
    page: Path
    budget_hours: float
    workers: int | None


def main() -> int:
    """Train, score, write; returns the exit code."""
    arguments = parse()
    return exit_code("mini", lambda: run(arguments))


def run(arguments: Arguments) -> int:
    """The whole benchmark; returns 0."""
    for name in set(PROTOCOLS) - set(arguments.protocols):
        del PROTOCOLS[name]
    scoring = ScoringSettings(
        data=arguments.data,
        limit=arguments.mixtures,
        workers=arguments.workers,
        baselines=tuple(arguments.baselines),
        one_query=arguments.one_query,
    )
    settings = {"batch_size": arguments.batch, "precision": arguments.precision}
    runs = planned_runs(arguments.out, arguments.arms, arguments.steps, arguments.seeds, **settings)

    def hours() -> float:
        """Processor hours spent so far, at most."""
        return hours_of_training(runs) + hours_of_scoring(arguments.out)

    left_out = train_all(
        runs,
        store=arguments.store,
        validation=arguments.validation,
        labels=arguments.data / "manifest.csv",
        is_spent=lambda: hours() >= arguments.budget_hours,
    )
    finished: list[Run] = [run for run in runs if run.is_finished()]
    report = Report(
        arms=arm_rows(finished, scoring),
        shipped=shipped_rows(arguments.models, arguments.out / "baselines", scoring),
        baselines=baseline_rows(arguments.out / "baselines", scoring),
        runs=finished,
        left_out=left_out,
        scoring=scoring,
        store=arguments.store,
        budget_hours=arguments.budget_hours,
        spent_hours=hours(),
        command=command_line(arguments),
    )
    write_page(report, arguments.page)
    print(arguments.page)
    return 0


def command_line(arguments: Arguments) -> str:
    """The command that makes this page again, with folders by the names that the help gives them."""
    words = ["python benchmarks/mini --data AVMINI --store STORE --validation STORE --out RUNS"]
    words += [f"--steps {arguments.steps}", f"--seeds {' '.join(map(str, arguments.seeds))}"]
    words += [f"--batch {arguments.batch}"] if arguments.batch else []
    words += [f"--precision {arguments.precision}"] if arguments.precision else []
    words += [f"--protocols {' '.join(arguments.protocols)}"] if arguments.protocols != list(ALL_PROTOCOLS) else []
    words += ["--one-query"] if arguments.one_query else []
    words += [f"--arms {' '.join(arguments.arms)}"] if arguments.arms != list(arms(1, 1)) else []
    words += [f"--mixtures {arguments.mixtures}"]
    words += [f"--baselines {' '.join(arguments.baselines)}"] if arguments.baselines != list(BASELINES) else []
    return " ".join([*words, f"--models {' '.join(arguments.models)}"])


def parse() -> Arguments:
    """The command line."""
    names = list(arms(1, 1))
    parser = argparse.ArgumentParser(
        prog="mini", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="avmini's folder, with manifest.csv")
    parser.add_argument("--store", type=Path, required=True, help="clip store to train on")
    parser.add_argument(
        "--validation", type=Path, required=True, help="clip store of dev clips, looked at once at the end of a run"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for all runs and scores")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, help="mixtures of a step; the default is that of clipsep-avmini, 16")
    parser.add_argument("--precision", default="", choices=["fp32", "bf16"], help="of training, for every arm")
    parser.add_argument("--protocols", nargs="+", default=list(ALL_PROTOCOLS), choices=ALL_PROTOCOLS, metavar="NAME")
    parser.add_argument("--one-query", action="store_true", help="score each arm with the first of its queries alone")
    parser.add_argument(
        "--arms",
        nargs="+",
        default=names,
        choices=names,
        metavar="NAME",
        help=f"the default is all: {', '.join(names)}",
    )
    parser.add_argument(
        "--mixtures", type=int, default=60, help="mixtures of each protocol, from the start of its list"
    )
    parser.add_argument("--baselines", nargs="+", default=list(BASELINES), choices=BASELINES, metavar="NAME")
    parser.add_argument("--models", nargs="*", default=["default"], metavar="NAME", help="shipped models to set beside")
    parser.add_argument(
        "--page", type=Path, default=Path("docs/results/mini.md"), help="figures go into a folder of its name beside it"
    )
    parser.add_argument(
        "--budget-hours",
        type=float,
        default=10.0,
        help="processor hours after which no run is started; 0 trains nothing",
    )
    parser.add_argument(
        "--workers", type=int, help="processes that score; 0 is this one, the default one per processor"
    )
    return Arguments(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
