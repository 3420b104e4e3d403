"""`trisep analyze probe`: how much of the classes a linear classifier reads off a network's bottleneck.

Source: HFRA, section 4.3 and Table 4, which does not say which classifier was used or how it was fitted. *Our choice:*
multinomial logistic regression on standardised features, its regularisation chosen by cross-validation on the training
clips only; each clip is unmixed, and its bottleneck is pooled over frequency and time. Labels are read here only for
the classifier: no network gets them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from trisep.analyses.bottleneck import choose_clips, load_models, pooled_bottlenecks, teacher_embeddings
from trisep.checkpoints.format import Checkpoint
from trisep.encoders import AudioTeacher, load_teacher
from trisep.errors import ConfigError, needs_extra
from trisep.evaluation.owner import require_own_report
from trisep.evaluation.table import write_report, write_rows
from trisep.figures.analysis import draw_probe
from trisep.metrics import Interval, PairedTest, bootstrap_mean, paired_test
from trisep.separation.separator import choose_device
from trisep.store.read import ClipStore
from trisep.training.labels import read_labels

_STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 3))
"""The inverse regularisations C that are tried."""
_NUM_FOLDS = 5
_FIRST_COLUMNS = ("network", "representation", "dim", "accuracy")
_CLASSES = "probe_classes.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The clips that the classifier is fitted on and those it is scored on, with their labels."""

    train: Int[np.ndarray, "n"]
    train_labels: Int[np.ndarray, "n"]
    test: Int[np.ndarray, "m"]
    test_labels: Int[np.ndarray, "m"]
    names: tuple[str, ...]
    """Names of the classes; labels are indices into it."""
    num_left_out: tuple[int, int]
    """Number of training and of test clips whose class the other side lacks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """How well the classes are read off one representation."""

    source: str
    """What the vectors are."""
    dim: int
    strength: float
    """The inverse regularisation C that cross-validation chose."""
    is_right: Bool[np.ndarray, "m"]
    accuracy: Interval
    """Share of test clips classified correctly, with an interval by bootstrap over the clips."""
    recalls: Float[np.ndarray, "classes"]
    """The same share for each class."""
    difference: PairedTest
    """Difference from the first representation, on the same clips."""


def analyze_probe(
    checkpoints: Sequence[str],
    *,
    train: Path,
    test: Path,
    labels: Path,
    out: Path,
    teacher: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> str:
    """Return a table of what a linear classifier reads off the bottleneck.

    It also writes probe.md, probe.csv, probe.png and probe_classes.csv to `out`.

    Args:
        checkpoints: names or folders of models; the others are compared with the first.
        train: the clip store that the classifier is fitted on.
        test: the clip store that it is scored on; none of its clips may be in `train`.
        labels: a CSV with the columns path, label for the clips of both.
        out: folder of the outputs.
        teacher: name of a frozen audio network whose embeddings are probed as the ceiling.
        limit: number of clips of each store, drawn at random; None takes all.
        seed: seed of the folds, the bootstrap and `limit`.
        device: the device that the networks compute on.
    """
    require_sklearn()
    require_own_report(out, "probe", _FIRST_COLUMNS, verb="analyze probe", beside=(_CLASSES,))
    stores = ClipStore(train), ClipStore(test)
    split = split_clips(*stores, labels, limit=limit, seed=seed)
    models = load_models(checkpoints, choose_device(device))
    features = _features(models, load_teacher(teacher) if teacher else None, *stores, split, choose_device(device))
    results: dict[str, ProbeResult] = {}
    for name, (source, fitted, scored) in features.items():
        predicted, strength = fit_and_predict(fitted, split.train_labels, scored, seed=seed)
        results[name] = _score(source, predicted, strength, split, fitted.shape[1], results, seed)
    text = markdown(results, split, stores[0].path, stores[1].path)
    write_report(out, "probe", text, [_row(name, result, split) for name, result in results.items()])
    recalls = [
        dict(zip(("class", *results), row, strict=True)) for row in zip(split.names, *_recalls(results), strict=True)
    ]
    write_rows(out / _CLASSES, recalls)
    draw_probe(
        {name: astuple(result.accuracy) for name, result in results.items()},
        {name: result.recalls for name, result in results.items()},
        out / "probe.png",
        classes=split.names,
    )
    return text


def require_sklearn() -> None:
    """Raise MissingExtraError, before any work is done, where scikit-learn is not installed."""
    with needs_extra("trisep analyze probe"):
        import sklearn  # noqa: F401


def split_clips(train: ClipStore, test: ClipStore, labels: Path, *, limit: int | None, seed: int) -> Split:
    """Select the clips of the classes that both stores have.

    A class needs at least two training clips, so that cross-validation can hold one out. Raises ConfigError where a
    clip has no label, a clip is in both stores, or fewer than two classes are left.
    """
    chosen = [choose_clips(store, limit, seed) for store in (train, test)]
    numbers, names = zip(*(read_labels(labels, store) for store in (train, test)), strict=True)
    train_labels, test_labels = (all_of[clips] for all_of, clips in zip(numbers, chosen, strict=True))
    fingerprints = {(entry.source, entry.num_samples, entry.rms_db) for entry in train.entries}
    shared = [entry.source for entry in test.entries if (entry.source, entry.num_samples, entry.rms_db) in fingerprints]
    if shared:
        raise ConfigError(
            f"{test.path}: {len(shared)} of its {len(test)} clips are also in {train.path}, the first is {shared[0]}; "
            "score on clips that the classifier was not fitted on"
        )
    counts = Counter(train_labels.tolist())
    common = sorted(label for label in {*test_labels.tolist()} if counts[label] >= 2)
    if len(common) < 2:
        raise ConfigError(
            f"{labels}: needs at least two classes with two clips in {train.path} and one in {test.path}, found "
            f"{len(common)}"
        )
    kept = [np.isin(present, common) for present in (train_labels, test_labels)]
    return Split(
        train=chosen[0][kept[0]],
        train_labels=np.searchsorted(common, train_labels[kept[0]]),
        test=chosen[1][kept[1]],
        test_labels=np.searchsorted(common, test_labels[kept[1]]),
        names=tuple(names[0][label] for label in common),
        num_left_out=(int((~kept[0]).sum()), int((~kept[1]).sum())),
    )


def fit_and_predict(
    train: Float[np.ndarray, "n C"], labels: Int[np.ndarray, "n"], test: Float[np.ndarray, "m C"], *, seed: int
) -> tuple[Int[np.ndarray, "m"], float]:
    """Return the classifier's predictions for the test vectors, and the C that cross-validation chose.

    The standardisation, too, is fitted on each fold's own training part only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    search = GridSearchCV(model, {"logisticregression__C": list(_STRENGTHS)}, cv=list(_folds(labels, seed)))
    search.fit(train.astype(np.float64), labels)
    predicted: Any = search.predict(test.astype(np.float64))
    return np.asarray(predicted), float(search.best_params_["logisticregression__C"])


def _folds(labels: Int[np.ndarray, "n"], seed: int) -> list[tuple[Int[np.ndarray, "_"], Int[np.ndarray, "_"]]]:
    """Return pairs of (fitted on, held out) for cross-validation.

    The clips of each class are distributed over the folds in turn, so that small classes are fitted on in every fold.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    dealt = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[dealt] = np.arange(len(labels)) % _NUM_FOLDS
    return [
        (np.flatnonzero(fold != number), np.flatnonzero(fold == number))
        for number in range(min(_NUM_FOLDS, len(labels)))
    ]


def _features(
    models: Mapping[str, Checkpoint],
    teacher: AudioTeacher | None,
    train: ClipStore,
    test: ClipStore,
    split: Split,
    device: torch.device,
) -> dict[str, tuple[str, Float[np.ndarray, "n C"], Float[np.ndarray, "m C"]]]:
    """Return, by the names that tables use, what the vectors are, and those of the training and of the test clips."""
    sides = ((train, split.train), (test, split.test))
    found = {}
    for name, model in models.items():
        vectors = [pooled_bottlenecks(model, store, clips, device=device) for store, clips in sides]
        found[name] = ("pooled bottleneck", vectors[0], vectors[1])
    if teacher is not None:
        num_samples = next(iter(models.values())).signal.clip_samples
        vectors = [teacher_embeddings(teacher, store, clips, num_samples=num_samples) for store, clips in sides]
        found[f"frozen {teacher.name}"] = ("its embedding", vectors[0], vectors[1])
    return found


def _score(
    source: str,
    predicted: Int[np.ndarray, "m"],
    strength: float,
    split: Split,
    dim: int,
    before: Mapping[str, ProbeResult],
    seed: int,
) -> ProbeResult:
    """Compare the predictions with the labels, and with the first of the representations scored before."""
    is_right = predicted == split.test_labels
    first = next(iter(before.values())).is_right if before else is_right
    return ProbeResult(
        source=source,
        dim=dim,
        strength=strength,
        is_right=is_right,
        accuracy=bootstrap_mean(is_right.astype(np.float64), generator=np.random.default_rng(seed)),
        recalls=np.array([is_right[split.test_labels == label].mean() for label in range(len(split.names))]),
        difference=paired_test(
            is_right.astype(np.float64), first.astype(np.float64), generator=np.random.default_rng(seed)
        ),
    )


def markdown(results: Mapping[str, ProbeResult], split: Split, train: Path, test: Path) -> str:
    """Return the results as a Markdown table, with shares in percent."""
    lines = [
        f"**Linear probe of {len(split.names)} classes**",
        "",
        f"Fitted on {len(split.train)} clips of {train}, scored on {len(split.test)} of {test}.",
        "",
        "| network | representation | accuracy [95 %] | balanced accuracy | − first [95 %] | p | C |",
        "|---|---|---|---:|---|---:|---:|",
    ]
    for number, (name, one) in enumerate(results.items()):
        interval = one.difference.interval
        mean, low, high = (100 * value for value in (interval.mean, interval.low, interval.high))
        difference = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}] | {one.difference.p_value:.2g}"
        lines.append(
            f"| {name} | {one.source}, {one.dim} wide | {100 * one.accuracy.mean:.1f} [{100 * one.accuracy.low:.1f}, "
            f"{100 * one.accuracy.high:.1f}] | {100 * one.recalls.mean():.1f} | {difference if number else '– | –'} | "
            f"{one.strength:g} |"
        )
    left_out = f"{split.num_left_out[0]} training and {split.num_left_out[1]} test clips"
    lines += [
        "",
        f"Chance: {100 / len(split.names):.1f} %. Left out, as the other side lacks their class: {left_out}. Intervals "
        "by bootstrap over test clips, p by sign-flip permutation; C is the inverse regularisation that "
        "cross-validation on the training clips chose.",
    ]
    return "\n".join(lines)


def _recalls(results: Mapping[str, ProbeResult]) -> list[list[float]]:
    return [result.recalls.tolist() for result in results.values()]


def _row(name: str, result: ProbeResult, split: Split) -> dict[str, object]:
    """Make a line of the CSV."""
    return {
        "network": name,
        "representation": result.source,
        "dim": result.dim,
        "accuracy": result.accuracy.mean,
        "accuracy_low": result.accuracy.low,
        "accuracy_high": result.accuracy.high,
        "balanced_accuracy": float(result.recalls.mean()),
        "chance": 1 / len(split.names),
        "difference": result.difference.mean_difference,
        "difference_low": result.difference.interval.low,
        "difference_high": result.difference.interval.high,
        "p_value": result.difference.p_value,
        "strength": result.strength,
        "classes": len(split.names),
        "train_clips": len(split.train),
        "test_clips": len(split.test),
        "train_clips_left_out": split.num_left_out[0],
        "test_clips_left_out": split.num_left_out[1],
    }
