"""Statistics of a list of scores: averages with intervals, paired comparisons, and the area under a ROC curve.

Scores must be finite: the caller counts skipped items before, and reports how infinite ones were treated. Every random
draw comes from a generator that the caller passes. This file knows no sound.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

_MAX_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean with its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """How two systems differ on the same items."""

    mean_difference: float
    """Mean of a − b."""
    interval: Interval
    """Bootstrap interval of that mean."""
    p_value: float
    """Two-sided p-value of the hypothesis that the sign of each difference is a coin toss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The numbers of one row of a table."""

    mean: float
    median: float
    sem: float
    """Standard error of the mean, s / √count with s of count − 1 degrees of freedom; nan for a single value."""
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RocAuc:
    """Area under the ROC curve with its bootstrap interval, 0 to 1; 0.5 is chance."""

    auc: float
    low: float
    high: float


def _checked(values: np.ndarray, name: str) -> Float[np.ndarray, "n"]:
    """Return the values in float64; raise ValueError when they are empty, not a list, or not finite."""
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name}: expected a non-empty list of numbers, got shape {values.shape}")
    num_bad = int(np.sum(~np.isfinite(values)))
    if num_bad:
        raise ValueError(
            f"{name}: expected finite numbers, got {num_bad} of {values.size} that are nan or inf; count and drop them "
            "first"
        )
    return np.asarray(values, np.float64)


def _check_resampling(confidence: float, num_resamples: int) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    if num_resamples < 1:
        raise ValueError(f"num_resamples: expected at least 1, got {num_resamples}")


def _chunks(num_resamples: int, width: int) -> Iterator[int]:
    """Yield sizes that add up to num_resamples, so that no draw holds more than a few million numbers."""
    size = max(1, _MAX_DRAWS_AT_ONCE // width)
    for start in range(0, num_resamples, size):
        yield min(size, num_resamples - start)


def _percentiles(resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(resampled, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high)


def summary(values: Float[np.ndarray, "n"]) -> Summary:
    """Compute mean, median, standard error and count.

    Raises:
        ValueError: values are empty or not finite.
    """
    data = _checked(values, "values")
    sem = float(data.std(ddof=1) / np.sqrt(data.size)) if data.size > 1 else float("nan")
    return Summary(mean=float(data.mean()), median=float(np.median(data)), sem=sem, count=data.size)


def bootstrap_mean(
    values: Float[np.ndarray, "n"],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 10000,
) -> Interval:
    """Compute the mean with its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: one per independent item. Sources of one mixture are not independent: pass the mixture's mean.
        generator: source of the draws; the same state gives the same interval.
        confidence: share of the bootstrap distribution inside the interval.
        num_resamples: bootstrap samples.

    Raises:
        ValueError: values are empty or not finite, confidence is outside (0, 1), or num_resamples is below 1.
    """
    data = _checked(values, "values")
    _check_resampling(confidence, num_resamples)
    means = [
        data[generator.integers(data.size, size=(rows, data.size))].mean(axis=1)
        for rows in _chunks(num_resamples, data.size)
    ]
    low, high = _percentiles(np.concatenate(means), confidence)
    return Interval(mean=float(data.mean()), low=low, high=high)


def paired_test(
    a: Float[np.ndarray, "n"],
    b: Float[np.ndarray, "n"],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 10000,
) -> PairedTest:
    """Compare two systems on the same items by a sign-flip permutation test of the mean difference (Fisher 1935).

    All 2ⁿ sign patterns are enumerated where there are no more than num_resamples of them, and the p-value is exact;
    else that many are drawn and p = (1 + hits) / (1 + num_resamples), which is never zero (Phipson and Smyth 2010).

    Args:
        a: scores of the first system, one per item.
        b: scores of the second, same items in the same order.
        generator: source of the draws.
        confidence: of the bootstrap interval of the mean difference.
        num_resamples: sign patterns, and bootstrap samples.

    Raises:
        ValueError: lengths differ, values are empty or not finite, or a setting is out of range.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"b: expected the shape of a, {a.shape}, got {b.shape}; both systems must be scored on the same items"
        )
    difference = _checked(a, "a") - _checked(b, "b")
    interval = bootstrap_mean(difference, generator=generator, confidence=confidence, num_resamples=num_resamples)
    # A pattern that equals the observed sum up to rounding counts as a hit.
    threshold = abs(difference.sum()) - 1e-12 * np.abs(difference).sum()
    if difference.size < 63 and 2**difference.size <= num_resamples:
        patterns = np.array(list(itertools.product((-1.0, 1.0), repeat=difference.size)))
        p_value = float(np.mean(np.abs(patterns @ difference) >= threshold))
    else:
        hits = 0
        for rows in _chunks(num_resamples, difference.size):
            signs = 2.0 * generator.integers(2, size=(rows, difference.size)) - 1.0
            hits += int(np.sum(np.abs(signs @ difference) >= threshold))
        p_value = (1 + hits) / (1 + num_resamples)
    return PairedTest(mean_difference=interval.mean, interval=interval, p_value=p_value)


def roc_auc(
    scores: Float[np.ndarray, "n"],
    labels: Bool[np.ndarray, "n"],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 10000,
) -> RocAuc:
    """Compute the area under the ROC curve with a bootstrap interval.

    It is the probability that a positive scores above a negative, ties counting one half (Mann–Whitney U / (P·N)).
    Positives and negatives are resampled separately, since their numbers are a protocol's choice.

    Args:
        scores: one per item, higher means "positive".
        labels: True for positives.
        generator: source of the draws.
        confidence: of the percentile interval.
        num_resamples: bootstrap samples.

    Raises:
        ValueError: lengths differ, values are not finite, one class is missing, or a setting is out of range.
    """
    data = _checked(scores, "scores")
    _check_resampling(confidence, num_resamples)
    if labels.shape != data.shape or labels.dtype != np.bool_:
        raise ValueError(
            f"labels: expected {data.size} booleans, one per score, got shape {labels.shape} of {labels.dtype}"
        )
    if labels.all() or not labels.any():
        raise ValueError(
            "labels: expected both True and False among them, got one of the two; the curve needs positives and "
            "negatives"
        )
    levels = rankdata(data, method="dense") - 1
    num_levels = int(levels.max()) + 1
    positives, negatives = (np.bincount(levels[chosen], minlength=num_levels) for chosen in (labels, ~labels))
    resampled = [
        _auc_of_counts(
            *(
                generator.multinomial(counts.sum(), counts / counts.sum(), size=rows)
                for counts in (positives, negatives)
            )
        )
        for rows in _chunks(num_resamples, num_levels)
    ]
    low, high = _percentiles(np.concatenate(resampled), confidence)
    return RocAuc(auc=float(_auc_of_counts(positives, negatives)), low=low, high=high)


def _auc_of_counts(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Compute the AUC from the counts of positives and negatives per score level, lowest first, [..., levels]."""
    below = np.cumsum(negatives, axis=-1) - 0.5 * negatives
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    return np.asarray(np.sum(positives * below, axis=-1) / pairs)
