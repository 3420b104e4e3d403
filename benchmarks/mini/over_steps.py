"""CLIPSep's Figs. 9 and 10 in miniature: losses asked with pictures and with words, and test scores, over the steps.

    python benchmarks/mini/over_steps.py ARM... --data AVMINI --store STORE --validation STORE --out RUNS --figure FILE

The arms are trained with their models kept every `--keep-steps`; each of these is asked with pictures and with words on
the same mixtures of the validation store (the mask loss) and of avmini's list (SDR improvement). It prints a table and
draws a column for each arm. Run again after an interruption, it goes on.
"""

import argparse
import sys
from pathlib import Path

from arms import arms
from curves import Interval, draw_over_steps
from exit_codes import exit_code
from runs import Run, planned_runs, train_all
from scores import QUERIES, ScoringSettings, measure, score
from sweep import add_run_arguments, held_out_loss
from tables import mean_and_interval

PROTOCOL = "avmini"


def main() -> int:
    """Train, score, draw; returns the exit code."""
    arguments = parse()
    return exit_code("over_steps", lambda: run_all(arguments))


def run_all(arguments: argparse.Namespace) -> int:
    """Train all arms, then look at every model that was kept; returns 1 where an arm was left out, else 0."""
    settings = {"batch_size": arguments.batch, "precision": arguments.precision}
    runs = planned_runs(arguments.out, arguments.arms, arguments.steps, [arguments.seed], **settings)
    labels = arguments.data / "manifest.csv"
    left_out = train_all(
        runs,
        store=arguments.store,
        validation=arguments.validation,
        labels=labels,
        is_spent=lambda: False,
        keep_steps=arguments.keep_steps,
    )
    for name, reason in left_out.items():
        print(f"over_steps: {name}: left out, as {reason}", file=sys.stderr)
    print("| arm | step | loss, text | loss, image | SDRi, text | SDRi, image |\n|---|---:|---:|---:|---|---|")
    training: dict[str, list[tuple[int, float]]] = {}
    losses: dict[str, dict[str, list[tuple[int, float]]]] = {}
    scores: dict[str, dict[str, list[tuple[int, Interval]]]] = {}
    for run in (run for run in runs if run.is_finished()):
        training[run.name] = [(entry["step"], entry.get("loss_mask", entry["loss"])) for entry in run.log()]
        losses[run.name], scores[run.name] = ({query: [] for query in QUERIES} for _ in range(2))
        for step, model in run.kept().items():
            cells = look(run, step, model, arguments, losses[run.name], scores[run.name])
            print(f"| {run.name} | {step} | {' | '.join(cells)} |", flush=True)
    draw_over_steps(training, losses, scores, arguments.figure)
    print(arguments.figure)
    return int(bool(left_out))


def look(
    run: Run,
    step: int,
    model: Path,
    arguments: argparse.Namespace,
    losses: dict[str, list[tuple[int, float]]],
    scores: dict[str, list[tuple[int, Interval]]],
) -> list[str]:
    """Add the loss and the score of one kept model with each query; returns them as cells of the table."""
    scoring = ScoringSettings(data=arguments.data, limit=arguments.mixtures, workers=arguments.workers)
    found: dict[str, list[str]] = {"loss": [], "score": []}
    for query in QUERIES:
        loss = held_out_loss(
            run,
            query,  # type: ignore[arg-type]
            arguments.validation,
            arguments.data / "manifest.csv",
            model=model,
            num_batches=arguments.loss_batches,
        )["mask"]
        table = score(
            scoring, PROTOCOL, run.folder / "kept-scores" / f"{step}-{query}", checkpoint=str(model), query=query
        )
        measured = measure({run.seed: table})
        interval = measured.interval("sdri")
        losses[query].append((step, loss))
        if interval is not None:
            scores[query].append((step, (interval.mean, interval.low, interval.high)))
        found["loss"].append(f"{loss:.4f}")
        found["score"].append(mean_and_interval(measured))
    return [*found["loss"], *found["score"]]


def parse() -> argparse.Namespace:
    """The command line."""
    known = [name for name, arm in arms(1, 1).items() if arm.queries == QUERIES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="+", choices=known)
    add_run_arguments(parser)
    parser.add_argument("--figure", type=Path, required=True)
    parser.add_argument("--keep-steps", type=int, default=50)
    parser.add_argument("--batch", type=int, help="mixtures of a step; the default is 16")
    parser.add_argument("--precision", default="", choices=["fp32", "bf16"])
    parser.add_argument("--loss-batches", type=int, default=8, help="batches of held-out mixtures for the losses")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
