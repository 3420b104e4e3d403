"""One setting of one arm of the miniature benchmark, at several values: train, score, and print a table.

    python benchmarks/mini/sweep.py ARM PATH VALUE... --data AVMINI --store STORE --validation STORE --out RUNS

    python benchmarks/mini/sweep.py clipsep-nit loss.level 0 0.1 0.25 0.5 1 none …       (γ: CLIPSep, Fig. 11)
    python benchmarks/mini/sweep.py hfra loss.teacher_weight 0.1 0.3 1 3 …               (λ: HFRA, Eq. 8)

Beside the scores stand the mask loss on mixtures of STORE's dev clips asked with pictures and with words, and what the
loss observes (the mean noise activation; the cosine to the teacher). Run again after an interruption, it goes on.
"""

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from arms import arms
from exit_codes import exit_code
from runs import Run, train_all
from scores import PROTOCOLS, QUERIES, ScoringSettings, measure, score_model
from tables import mean_and_interval

from trisep.checkpoints.format import load_model
from trisep.mixing.augmentation import AugmentationConfig
from trisep.recipes import QueryKind, Recipe, override
from trisep.training.data import VALIDATION_SEED, MixtureDataset, batches, open_store, to_mixture
from trisep.training.loop import to_spectra

NUM_LOSS_BATCHES = 8


def main() -> int:
    """Train, score, print; returns the exit code: 0 all done, 1 some values left out, 2 the user's error."""
    arguments = parse()
    return exit_code("sweep", lambda: run_all(arguments))


def run_all(arguments: argparse.Namespace) -> int:
    """Train every value, then score every value that was trained; returns the exit code."""
    scoring = ScoringSettings(data=arguments.data, limit=arguments.mixtures, workers=arguments.workers)
    runs = {value: planned_run(arguments, value) for value in arguments.values}
    labels = arguments.data / "manifest.csv"
    left_out = train_all(
        list(runs.values()),
        store=arguments.store,
        validation=arguments.validation,
        labels=labels,
        is_spent=lambda: False,
    )
    for name, reason in left_out.items():
        print(f"sweep: {name}: left out, as {reason}", file=sys.stderr)
    titles = [f"{title}, {query}" for title in PROTOCOLS.values() for query in QUERIES]
    print(f"| {arguments.path} | {' | '.join(titles)} | loss, text | loss, image | observed |")
    print("|---" * (len(titles) + 4) + "|")
    for value, run in runs.items():
        if not run.is_finished():
            continue
        tables = {query: score_model(run.model, run.folder / "scores", query, scoring) for query in QUERIES}
        scores = [
            mean_and_interval(measure({run.seed: tables[query][name]})) for name in PROTOCOLS for query in QUERIES
        ]
        asked = {query: held_out_loss(run, query, arguments.validation, labels) for query in QUERIES}
        losses = [f"{asked[query].pop('mask'):.4f}" for query in QUERIES]
        observed = [
            f"{name} {measured:.3f} (text), {asked['image'][name]:.3f} (image)"
            for name, measured in asked["text"].items()
        ]
        print(f"| {value} | {' | '.join([*scores, *losses, '; '.join(observed)])} |", flush=True)
    return int(bool(left_out))


def planned_run(arguments: argparse.Namespace, value: str) -> Run:
    """The arm with one value set, in a folder that is named for both."""
    arm = arms(arguments.steps, arguments.seed)[arguments.arm]
    arm = replace(arm, recipe=override(arm.recipe, (f"{arguments.path}={value}",)))
    name = f"{arguments.arm}-{arguments.path.rsplit('.')[-1]}-{value}"
    return Run(name=name, arm=arm, seed=arguments.seed, folder=arguments.out / f"{name}-{arguments.seed}")


@torch.no_grad()
def held_out_loss(
    run: Run,
    query: QueryKind,
    validation: Path,
    labels: Path,
    *,
    model: Path | None = None,
    num_batches: int = NUM_LOSS_BATCHES,
) -> dict[str, float]:
    """The recipe's mask loss on mixtures of held-out clips asked with pictures or words, and what the loss observes;
    means over batches. `model` is a checkpoint of the run, by default its last.
    """
    recipe: Recipe = run.arm.recipe
    asked = replace(
        recipe, augmentation=AugmentationConfig(), query=query, supervision="labels" if query == "text" else "none"
    )
    dataset = MixtureDataset(
        open_store(validation, asked), asked, seed=VALIDATION_SEED, labels=labels if query == "text" else None
    )
    network = load_model(model or run.model).model.eval()
    if network.contract.has_noise_heads:
        network.keep_noise_heads = True
    sums: dict[str, list[float]] = defaultdict(list)
    for batch in batches(dataset, first_step=0, last_step=num_batches):
        result = recipe.loss(network, to_spectra(to_mixture(batch), recipe))
        for name, tensor in ({"mask": result.weighted["mask"]} | result.observed).items():
            sums[name].append(float(tensor))
    return {name: float(np.mean(values)) for name, values in sums.items()}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", choices=[name for name, arm in arms(1, 1).items() if arm.queries == QUERIES])
    parser.add_argument("path", help="the setting, as in `trisep train --set`")
    parser.add_argument("values", nargs="+")
    add_run_arguments(parser)
    return parser.parse_args()


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where data and results lie, and how long and on what the arms are trained and scored."""
    for name in ("data", "store", "validation", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mixtures", type=int, default=40)
    parser.add_argument("--workers", type=int)


if __name__ == "__main__":
    sys.exit(main())
