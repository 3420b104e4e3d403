"""The miniature benchmark: train every arm of `arms.py` alike, score all systems under one protocol, write one page.

    python benchmarks/mini --data AVMINI --store STORE --validation STORE --out RUNS [--steps 500] [--seeds 1 2] \
        [--mixtures 60]

STORE are clip stores of avmini's training and dev clips, embedded with `lite` (`trisep prepare`, `trisep embed`). Run
again after an interruption, it goes on; whatever is finished is kept. The arm with an audio teacher needs
TRISEP_EFFICIENTAT to name the teacher's file.
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
from scores import ScoringSettings, hours_of_scoring


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """What the command can be told."""

    data: Path
    store: Path
    validation: Path
    out: Path
    steps: int
    seeds: list[int]
    arms: list[str]
    mixtures: int
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
    scoring = ScoringSettings(data=arguments.data, limit=arguments.mixtures, workers=arguments.workers)
    runs = planned_runs(arguments.out, arguments.arms, arguments.steps, arguments.seeds)

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
    words += [f"--arms {' '.join(arguments.arms)}"] if arguments.arms != list(arms(1, 1)) else []
    return " ".join([*words, f"--mixtures {arguments.mixtures}", f"--models {' '.join(arguments.models)}"])


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
    parser.add_argument("--workers", type=int, help="processes that score; the default is one per processor")
    return Arguments(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
