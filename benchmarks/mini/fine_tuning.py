"""CLIPSep's Appendix H in miniature: a model of other sounds, trained on, against one trained from nothing on the few
clips there are.

    python benchmarks/mini/fine_tuning.py --start-store STORE --store STORE --validation STORE --list CSV \
        --media AVMINI --out RUNS

`--start-store` holds clips of other classes than `--store`; the list (path, split dev, label) names held-out clips of
the classes of `--store`. The arm `clipsep` of the miniature benchmark is trained on the first for `--start-steps`, and
then, with each seed, on the second for `--steps`: from nothing, from that start, and from that start with its encoder
frozen. All are asked with words and pictures.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from arms import arms
from exit_codes import exit_code
from scores import QUERIES, Measured, QueryName, ScoringSettings, difference, measure, score
from tables import mean_and_interval

from trisep.recipes import Recipe
from trisep.training.loop import TrainSettings, train

PROTOCOL = "avmini"
ENCODER = ("unet.input_norm", "unet.down")


def main() -> int:
    """Train, score, print; returns the exit code."""
    arguments = parse()
    return exit_code("fine_tuning", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> int:
    """Train, score, and print one table; returns 0."""
    models = train_all(arguments)
    scoring = ScoringSettings(data=arguments.list, media=arguments.media, limit=arguments.mixtures, workers=1)
    print("| trained | " + " | ".join(f"{query}: SDRi [95 %] | − scratch (p)" for query in QUERIES) + " |")
    print("|---" * (1 + 2 * len(QUERIES)) + "|")
    measured = {
        query: {name: measured_as(query, seeds, scoring) for name, seeds in models.items()} for query in QUERIES
    }
    for name in models:
        print(
            f"| {name} | "
            + " | ".join(cells(measured[query][name], measured[query]["scratch"]) for query in QUERIES)
            + " |"
        )
    return 0


def train_all(arguments: argparse.Namespace) -> dict[str, dict[int, Path]]:
    """The checkpoint of every way and seed; what is finished is kept."""
    out: Path = arguments.out
    settings = TrainSettings(data=arguments.store, out=out, validation=arguments.validation, cpu=True)
    first = train(clipsep(arguments.start_steps, 1), replace(settings, data=arguments.start_store, out=out / "start"))
    models: dict[str, dict[int, Path]] = {
        "start alone": {1: first},
        "scratch": {},
        "fine-tuned": {},
        "fine-tuned, encoder frozen": {},
    }
    for seed in arguments.seeds:
        recipe = clipsep(arguments.steps, seed)
        frozen = replace(recipe, training=replace(recipe.training, frozen=ENCODER))
        for name, one, init in (
            ("scratch", recipe, None),
            ("fine-tuned", recipe, first),
            ("fine-tuned, encoder frozen", frozen, first),
        ):
            folder = out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
            models[name][seed] = train(one, replace(settings, out=folder, init=init))
    return models


def clipsep(num_steps: int, seed: int) -> Recipe:
    """The miniature CLIPSep."""
    return arms(num_steps, seed)["clipsep"].recipe


def measured_as(query: QueryName, seeds: dict[int, Path], scoring: ScoringSettings) -> Measured:
    """The scores of all seeds."""
    folders = {seed: model.parent / "scores" / query for seed, model in seeds.items()}
    return measure(
        {
            seed: score(scoring, PROTOCOL, folders[seed], checkpoint=str(model), query=query)
            for seed, model in seeds.items()
        }
    )


def cells(measured: Measured, scratch: Measured) -> str:
    """SDR improvement with its interval, and what it is more than from scratch."""
    test = difference(measured, scratch)
    assert test is not None
    compared = "–" if measured is scratch else f"{test.mean_difference:+.2f} ({test.p_value:.3f})"
    return f"{mean_and_interval(measured)} | {compared}"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("start-store", "store", "validation", "list", "media", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--start-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--mixtures", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
