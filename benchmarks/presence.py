"""Fit and judge the presence score: is the query heard at all?

    python benchmarks/presence.py CHECKPOINT DATA_FOLDER [--write] [--references]

The data folder holds avmini, soundmini and solomini. Of the mixtures of two clips of each half, one query that is in
the mixture and one that is not are asked, each as if it were the only one. The set of features and the logistic weights
are chosen on the choosing halves of all sets together, once among the levels and once with what the audio tower hears
in stem and mixture; each test half is reported. Baseline: the stem's level alone. `--write` puts the weights into the
checkpoint's config.json. `--references` admits features that are relative to reference queries; a model that decodes
once a query then decodes them at every separation.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

import trisep
from trisep.checkpoints.format import read_card
from trisep.evaluation.sounds import mix
from trisep.media.files import write_json
from trisep.metrics import roc_auc
from trisep.protocols.avmini import LEVEL_DB
from trisep.protocols.clip_lists import Half, read_clips
from trisep.protocols.mini_sets import SETS, mixtures
from trisep.separation.presence import EVIDENCE_NAMES
from trisep.types import Audio

Rows = list[dict[str, float]]
"""Features of queries, those of a present one and of an absent one by turns."""
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
    """Collect features on all halves, choose on the choosing ones, report the test ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("--mixtures", type=int, default=50, help="of each half (default: %(default)s)")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--references", action="store_true")
    arguments = parser.parse_args()
    separator = trisep.load(arguments.checkpoint, device="cpu")
    words = REFERENCES if arguments.references else ()

    def rows(half: Half) -> dict[str, Rows]:
        """Features of one half of every set."""
        return {name: collect(separator, arguments.data / name, half, arguments.mixtures, words) for name in SETS}

    chosen_on, reported_on = rows("choosing"), rows("test")
    together = [row for name in SETS for row in chosen_on[name]]
    levels = [name for name in together[0] if name not in EVIDENCE_NAMES]
    heard = [name for name in together[0] if not name.startswith("relative_")]
    for name in SETS:
        report(f"{name}: baseline, the stem's level", matrix(reported_on[name], ("level_ratio_db",))[:, 0])
    fitted = [calibrate(together, levels)]
    if heard[-1] in EVIDENCE_NAMES:
        fitted.append(calibrate(together, heard))
    for calibration in fitted:
        for name in SETS:
            report(f"{name}: {', '.join(calibration['features'])}", scores(reported_on[name], calibration))
    if arguments.write:
        write(separator.checkpoint.path, *fitted)


def collect(
    separator: trisep.Separator, data: Path, half: Half, num_mixtures: int, reference_words: Sequence[str]
) -> Rows:
    """Features of a query in the mixture and of one that is not, for each mixture of a half."""
    generator = np.random.default_rng(7)
    queries = {source.label: source.query or source.label for source in read_clips(data, {"dev"}, half=half)}
    rate, rows = separator.signal.sample_rate_hz, []
    for mixture in islice(mixtures(data, half=half), num_mixtures):
        pair = mixture.sources
        asked = str(generator.choice(sorted(set(queries) - {source.label for source in pair})))
        heard = Audio(mix(pair, LEVEL_DB, rate).sum(axis=0)[None], rate)
        rows += separator.presence_features(heard, [queries[pair[0].label], queries[asked]], reference_words)
    return rows


def calibrate(rows: Rows, names: Sequence[str]) -> dict[str, Any]:
    """Choose up to three features by cross-validation, and fit their weights."""
    best: tuple[float, tuple[str, ...]] = (0.0, ())
    for size in (1, 2, 3):
        for subset in combinations(names, size):
            score = cross_validated_auc(rows, subset)
            if score > best[0] + 0.002 * (size > 1):
                best = (score, subset)
    weights, bias = fit(rows, best[1])
    print(f"chosen among {', '.join(names)}: {', '.join(best[1])}; cross-validated AUC {best[0]:.3f}")
    return {
        "features": list(best[1]),
        "weights": [round(float(weight), 6) for weight in weights],
        "bias": round(bias, 6),
    }


def report(title: str, values: np.ndarray) -> None:
    """Print the AUC of scores, and what is decided right at 0."""
    truth = labels(len(values))
    auc = roc_auc(values, truth, generator=np.random.default_rng(0))
    found, refused = (values[truth] > 0).mean(), (values[~truth] <= 0).mean()
    decided = "" if "baseline" in title else f"; {100 * found:.0f} % found, {100 * refused:.0f} % refused at 0.5"
    print(f"{title}: AUC {auc.auc:.3f} [{auc.low:.3f}, {auc.high:.3f}]{decided}", flush=True)


def labels(num_rows: int) -> np.ndarray:
    """True for the present queries, which are every other one."""
    return np.arange(num_rows) % 2 == 0


def matrix(rows: Rows, features: Sequence[str]) -> np.ndarray:
    """Chosen features as columns."""
    return np.array([[row[name] for name in features] for row in rows])


def scores(rows: Rows, calibration: dict[str, Any]) -> np.ndarray:
    """Logits of presence."""
    values: np.ndarray = matrix(rows, calibration["features"]) @ calibration["weights"] + calibration["bias"]
    return values


def fit(rows: Rows, features: Sequence[str], used: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Logistic regression with a little shrinkage on standardised features, returned for the raw ones."""
    values, truth = matrix(rows, features), labels(len(rows)).astype(float)
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


def cross_validated_auc(rows: Rows, features: Sequence[str]) -> float:
    """AUC over five folds of mixtures."""
    fold, truth = np.arange(len(rows)) // 2 % 5, labels(len(rows))
    values = np.empty(len(rows))
    for part in range(5):
        weights, bias = fit(rows, features, fold != part)
        values[fold == part] = matrix(rows, features)[fold == part] @ weights + bias
    ranks = values[truth][:, None] - values[~truth][None]
    return float((ranks > 0).mean() + 0.5 * (ranks == 0).mean())


def write(folder: Path, levels: dict[str, Any], with_evidence: dict[str, Any] | None = None) -> None:
    """Put the calibration into a checkpoint's card."""
    card = read_card(folder)
    relative = any(name.startswith("relative_") for name in levels["features"])
    card["presence"] = {
        **levels,
        "threshold": 0.5,
        "reference_queries": list(REFERENCES) if relative else [],
        "with_evidence": with_evidence,
    }
    write_json(folder / "config.json", card)


if __name__ == "__main__":
    main()
