"""Fit and judge the presence score: is the query heard at all?

    python benchmarks/presence.py CHECKPOINT AVMINI_FOLDER [--write] [--no-references]

Mixtures of two held-out clips at equal level; for each, one query that is in it and one that is not, both from classes
that `lite` knows. The clips are cut into halves: the logistic weights and the set of features are chosen on one,
everything is reported on the other. Baseline: the stem's level alone. `--write` puts the weights into the checkpoint's
config.json. `--no-references` leaves out the features that are relative to reference queries: a model that decodes once
a query would decode them at every separation.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

import trisep
from trisep.checkpoints.format import read_card
from trisep.evaluation.sounds import mix
from trisep.media.files import write_json
from trisep.metrics import roc_auc
from trisep.protocols import ProtocolSource
from trisep.protocols.avmini import LACKING, LEVEL_DB, dev_sources
from trisep.types import Audio

NUM_QUERIES = 200
REFERENCES = (
    "music",
    "person singing",
    "speech",
    "wind",
    "car engine",
    "bird",
    "water",
    "bell",
    "violin",
    "drum",
    "dog",
    "piano",
    "trumpet",
    "rain",
)
"""Words asked alongside every query; `relative_` features are differences from their mean."""


def main() -> None:
    """Collect features on both halves, choose on the first, report on the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-references", action="store_true")
    arguments = parser.parse_args()
    separator = trisep.load(arguments.checkpoint, device="cpu")
    known = [source for source in dev_sources(arguments.data) if source.label not in LACKING]
    order = np.random.default_rng(0).permutation(len(known))
    halves = [[known[index] for index in sorted(part)] for part in np.array_split(order, 2)]
    words = () if arguments.no_references else REFERENCES
    chosen_on, reported_on = (collect(separator, half, words, seed) for seed, half in enumerate(halves, start=1))

    names = list(chosen_on[0])
    best: tuple[float, tuple[str, ...]] = (0.0, ())
    for size in (1, 2, 3):
        for subset in combinations(names, size):
            score = cross_validated_auc(chosen_on, subset)
            if score > best[0] + 0.002 * (size > 1):
                best = (score, subset)
    features = best[1]
    weights, bias = fit(chosen_on, features)
    print(
        f"chosen on one half ({NUM_QUERIES} present, {NUM_QUERIES} absent): {', '.join(features)}; cross-validated AUC "
        f"{best[0]:.3f}"
    )
    for title, scores in (
        ("presence", matrix(reported_on, features) @ weights + bias),
        ("baseline: the stem's level", matrix(reported_on, ("level_ratio_db",))[:, 0]),
    ):
        auc = roc_auc(scores, labels(), generator=np.random.default_rng(0))
        print(f"other half: {title}: AUC {auc.auc:.3f} [{auc.low:.3f}, {auc.high:.3f}]")
    decided = matrix(reported_on, features) @ weights + bias > 0
    found, refused = decided[labels()].mean(), (~decided[~labels()]).mean()
    print(f"at threshold 0.5: {100 * found:.0f} % of present found, {100 * refused:.0f} % of absent refused")
    if arguments.write:
        write(separator.checkpoint.path, features, weights, bias)


def collect(
    separator: trisep.Separator, sources: list[ProtocolSource], reference_words: Sequence[str], seed: int
) -> list[dict[str, float]]:
    """Features of `NUM_QUERIES` present queries, then of as many absent ones; also relative to the reference words, if
    there are any.
    """
    generator = np.random.default_rng(seed)
    names = sorted({source.label for source in sources})
    present, absent = [], []
    rate = separator.signal.sample_rate_hz
    while len(present) < NUM_QUERIES:
        pair = [sources[index] for index in generator.choice(len(sources), 2, replace=False)]
        heard = Audio(mix(pair, LEVEL_DB, rate).sum(axis=0)[None], rate)
        asked = generator.choice([name for name in names if name not in {source.label for source in pair}])
        there, lacking = separator.presence_features(heard, [pair[0].label, str(asked)], reference_words)
        present.append(there)
        absent.append(lacking)
    return [*present, *absent]


def labels() -> np.ndarray:
    """True for the present queries, which come first."""
    return np.arange(2 * NUM_QUERIES) < NUM_QUERIES


def matrix(rows: list[dict[str, float]], features: tuple[str, ...]) -> np.ndarray:
    """Chosen features as columns."""
    return np.array([[row[name] for name in features] for row in rows])


def fit(
    rows: list[dict[str, float]], features: tuple[str, ...], used: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Logistic regression with a little shrinkage on standardised features, returned for the raw ones."""
    values, truth = matrix(rows, features), labels().astype(float)
    if used is not None:
        values, truth = values[used], truth[used]
    centre, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
    standard = (values - centre) / scale

    def loss(parameters: np.ndarray) -> float:
        logits = standard @ parameters[:-1] + parameters[-1]
        return float(np.mean(np.logaddexp(0, logits) - truth * logits) + 1e-3 * np.sum(parameters[:-1] ** 2))

    solution = minimize(loss, np.zeros(len(features) + 1), method="BFGS").x
    weights = solution[:-1] / scale
    return weights, float(solution[-1] - weights @ centre)


def cross_validated_auc(rows: list[dict[str, float]], features: tuple[str, ...]) -> float:
    """AUC over five folds of mixtures."""
    fold = np.tile(np.arange(NUM_QUERIES) % 5, 2)
    scores = np.empty(len(fold))
    for part in range(5):
        weights, bias = fit(rows, features, fold != part)
        scores[fold == part] = matrix(rows, features)[fold == part] @ weights + bias
    ranks = scores[labels()][:, None] - scores[~labels()][None]
    return float((ranks > 0).mean() + 0.5 * (ranks == 0).mean())


def write(folder: Path, features: tuple[str, ...], weights: np.ndarray, bias: float) -> None:
    """Put the calibration into a checkpoint's card."""
    card = read_card(folder)
    relative = any(name.startswith("relative_") for name in features)
    card["presence"] = {
        "features": list(features),
        "weights": [round(float(weight), 6) for weight in weights],
        "bias": round(bias, 6),
        "threshold": 0.5,
        "reference_queries": list(REFERENCES) if relative else [],
    }
    write_json(folder / "config.json", card)


if __name__ == "__main__":
    main()
