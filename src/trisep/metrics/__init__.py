"""All scores of one separation, with their improvements over the mixture; silence is an explicit skip, never a zero.

    references, estimates, mixture → score_separation → one SourceScore per scored source: Scores or the reason to skip

Two different ratios are called SDR in the literature. Here `sdr`, `sir`, `sar` are BSS Eval v3 and `snr` is the plain
ratio that museval prints as "SDR"; they never share a column. Averages and their intervals are in
`trisep.metrics.statistics`. This package knows no model, file or protocol.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from trisep.metrics.bss_eval import BssEval, BssReference, bss_eval_sources
from trisep.metrics.scale_invariant import energy_ratio_db, si_sdr, snr
from trisep.metrics.statistics import (
    Interval,
    PairedTest,
    RocAuc,
    Summary,
    bootstrap_mean,
    paired_test,
    roc_auc,
    summary,
)

__all__ = [
    "BssEval",
    "BssReference",
    "Interval",
    "PairedTest",
    "RocAuc",
    "Scores",
    "SourceScore",
    "Summary",
    "bootstrap_mean",
    "bss_eval_sources",
    "energy_ratio_db",
    "is_silent",
    "paired_test",
    "roc_auc",
    "score_separation",
    "si_sdr",
    "snr",
    "summary",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """All scores of one estimated source in dB; suffix `i` is the improvement over the mixture taken as the estimate.

    A ratio without error is inf. An improvement over an infinite ratio is −inf, and nan where both are infinite: a
    mixture that is exactly the sum of its references has no artifacts, so `sari` is meaningful only where the mixture
    holds other sound as well.
    """

    sdr: float
    sir: float
    sar: float
    snr: float
    si_sdr: float
    sdri: float
    siri: float
    sari: float
    snri: float
    si_sdri: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceScore:
    """The outcome for one scored source: exactly one of `scores` and `skipped` is set."""

    source: int
    """Index of the source among the references."""
    scores: Scores | None
    skipped: str | None
    """The reason why there is no score; equal reasons have equal texts, so that they can be counted: "silent
    reference", "silent estimate" or "silent mixture"."""


def is_silent(x: Float[np.ndarray, "S"], *, threshold_db: float = -70.0) -> bool:
    """Return whether the RMS of a signal lies below threshold_db in dBFS (0 dBFS: RMS of 1, full scale ±1).

    An empty signal is silent.

    Raises:
        ValueError: a sample is not finite.
    """
    mean_square = float(np.mean(np.square(x, dtype=np.float64))) if x.size else 0.0
    if not np.isfinite(mean_square):
        raise ValueError("x: expected finite samples, got nan or inf; look at what produced it")
    return bool(mean_square < 10.0 ** (threshold_db / 10.0))


def score_separation(
    *,
    references: Float[np.ndarray, "N S"],
    estimates: Float[np.ndarray, "M S"],
    mixture: Float[np.ndarray, "S"],
    scored: Sequence[int] | None = None,
    silence_threshold_db: float = -70.0,
) -> list[SourceScore]:
    """Score the estimates of some or all sources of a mixture, by every metric, with improvements over the mixture.

    Sources that are not scored still count as interference in SIR. A reference below the silence threshold is skipped
    as a source, but unless it is all zeros it stays part of the scene in which the others are judged.

    Args:
        references: all true sources as they stand in the mixture, [N, S].
        estimates: the estimates of the scored sources, [M, S].
        mixture: the signal that was separated, [S]; it may hold more than the sum of the references.
        scored: the index of the reference that each estimate belongs to; None means all N, in order.
        silence_threshold_db: RMS in dBFS below which a signal counts as silent.

    Returns:
        One result per estimate, in their order.

    Raises:
        ValueError: shapes or indices do not fit, or a sample is not finite.
    """
    sources = list(range(len(references))) if scored is None else [int(source) for source in scored]
    _check_shapes(references, estimates, mixture, sources)
    outcome: dict[int, Scores] = {}
    reasons = [_skip_reason(references[j], estimates[m], mixture, silence_threshold_db) for m, j in enumerate(sources)]
    rows = [m for m, reason in enumerate(reasons) if reason is None]
    if rows:
        audible = [j for j in range(len(references)) if references[j].any()]
        truth = BssReference(references[audible])
        positions = [audible.index(sources[m]) for m in rows]
        ours = _all_metrics(
            truth.score(estimates[rows], sources=positions), references[[sources[m] for m in rows]], estimates[rows]
        )
        repeated = np.broadcast_to(mixture, (len(rows), mixture.size))
        before = _all_metrics(
            truth.score_mixture(mixture, sources=positions), references[[sources[m] for m in rows]], repeated
        )
        for column, m in enumerate(rows):
            values = {name: float(ratios[column]) for name, ratios in ours.items()}
            # Plain floats: inf − inf is nan without a warning.
            improvements = {f"{name}i": values[name] - float(ratios[column]) for name, ratios in before.items()}
            outcome[m] = Scores(**values, **improvements)
    return [SourceScore(source=j, scores=outcome.get(m), skipped=reasons[m]) for m, j in enumerate(sources)]


def _check_shapes(references: np.ndarray, estimates: np.ndarray, mixture: np.ndarray, sources: list[int]) -> None:
    """Raise ValueError for shapes that would be broadcast or cut silently."""
    if references.ndim != 2 or references.size == 0:
        raise ValueError(f"references: expected shape [sources, samples], got {references.shape}")
    if len(set(sources)) != len(sources) or any(not 0 <= source < len(references) for source in sources):
        raise ValueError(f"scored: expected different indices from 0 to {len(references) - 1}, got {sources}")
    num_samples = references.shape[1]
    for name, signal, expected in (
        ("estimates", estimates, (len(sources), num_samples)),
        ("mixture", mixture, (num_samples,)),
    ):
        if signal.shape != expected:
            raise ValueError(
                f"{name}: expected shape {expected}, got {signal.shape}; align and cut all signals to one length"
            )


def _skip_reason(reference: np.ndarray, estimate: np.ndarray, mixture: np.ndarray, threshold_db: float) -> str | None:
    """Name the first silent signal, in the order in which its silence matters, or None."""
    for name, signal in (("reference", reference), ("estimate", estimate), ("mixture", mixture)):
        if is_silent(signal, threshold_db=threshold_db) or not signal.any():
            return f"silent {name}"
    return None


def _all_metrics(bss: BssEval, references: np.ndarray, estimates: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the five ratios by name, [M] each."""
    plain_snr = snr(reference=references, estimate=estimates)
    return {
        "sdr": bss.sdr,
        "sir": bss.sir,
        "sar": bss.sar,
        "snr": plain_snr,
        "si_sdr": si_sdr(reference=references, estimate=estimates),
    }
