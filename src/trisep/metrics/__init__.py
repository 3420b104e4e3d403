"""All scores of one separation, with their improvements over the mixture; silence is an explicit skip, never a zero.

    references, estimates, mixture → score_separation → one SourceScore per scored source: Scores or the reason to skip

`MixtureScorer` scores several systems on one mixture.

Two different ratios are called SDR in the literature. Here `sdr`, `sir`, `sar` are BSS Eval v3 and `snr` is the plain
ratio that museval prints as "SDR"; they never share a column. Averages and their intervals are in
`trisep.metrics.statistics`. This package knows no model, file or protocol.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
    "SILENCE_DB",
    "BssEval",
    "BssReference",
    "Interval",
    "MixtureScorer",
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

SILENCE_DB = -70.0
"""RMS in dBFS below which a signal counts as silent."""


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


def is_silent(x: Float[np.ndarray, "S"], *, threshold_db: float = SILENCE_DB) -> bool:
    """Return whether the RMS of a signal lies below threshold_db in dBFS (0 dBFS: RMS of 1, full scale ±1).

    An empty signal is silent.

    Raises:
        ValueError: a sample is not finite.
    """
    mean_square = float(np.mean(np.square(x, dtype=np.float64))) if x.size else 0.0
    if not np.isfinite(mean_square):
        raise ValueError("x: expected finite samples, got nan or inf; look at what produced it")
    return bool(mean_square < 10.0 ** (threshold_db / 10.0))


class MixtureScorer:
    """A mixture and its true sources, ready to score the estimates of any number of systems.

    What no estimate changes is computed once: the factorised references of BSS Eval and the scores of the mixture
    itself, which are most of the work.
    """

    def __init__(
        self,
        *,
        references: Float[np.ndarray, "N S"],
        mixture: Float[np.ndarray, "S"],
        scored: Sequence[int] | None = None,
        silence_threshold_db: float = SILENCE_DB,
    ) -> None:
        """Take what `score_separation` takes, but for the estimates, and raise what it raises."""
        self._references, self._mixture, self._threshold_db = references, mixture, silence_threshold_db
        self._sources = list(range(len(references))) if scored is None else [int(source) for source in scored]
        _check_references(references, mixture, self._sources)

    def score(self, estimates: Float[np.ndarray, "M S"]) -> list[SourceScore]:
        """Score the estimates of one system, as `score_separation` does."""
        expected = (len(self._sources), self._mixture.size)
        if estimates.shape != expected:
            raise ValueError(_misshapen("estimates", expected, estimates))
        reasons = [self._skip_reason(source, estimates[m]) for m, source in enumerate(self._sources)]
        rows = [m for m, reason in enumerate(reasons) if reason is None]
        outcome: dict[int, Scores] = {}
        if rows:
            sources = [self._sources[m] for m in rows]
            bss = self._truth.score(estimates[rows], sources=[self._audible.index(source) for source in sources])
            ours = _all_metrics(bss, self._references[sources], estimates[rows])
            for column, (m, source) in enumerate(zip(rows, sources, strict=True)):
                values = {name: float(ratios[column]) for name, ratios in ours.items()}
                # Plain floats: inf − inf is nan without a warning.
                improvements = {f"{name}i": values[name] - before for name, before in self._before[source].items()}
                outcome[m] = Scores(**values, **improvements)
        return [
            SourceScore(source=source, scores=outcome.get(m), skipped=reasons[m])
            for m, source in enumerate(self._sources)
        ]

    @cached_property
    def _audible(self) -> list[int]:
        """The references that BSS Eval is defined for."""
        return [source for source, reference in enumerate(self._references) if reference.any()]

    @cached_property
    def _truth(self) -> BssReference:
        """The references, factorised."""
        return BssReference(self._references[self._audible])

    @cached_property
    def _before(self) -> dict[int, dict[str, float]]:
        """Every ratio of the mixture, as the estimate of each source that can be scored."""
        sources = [source for source in self._sources if self._skip_reason(source, self._references[source]) is None]
        bss = self._truth.score_mixture(self._mixture, sources=[self._audible.index(source) for source in sources])
        repeated = np.broadcast_to(self._mixture, (len(sources), self._mixture.size))
        ratios = _all_metrics(bss, self._references[sources], repeated)
        return {
            source: {name: float(values[column]) for name, values in ratios.items()}
            for column, source in enumerate(sources)
        }

    def _skip_reason(self, source: int, estimate: np.ndarray) -> str | None:
        """Name the first silent signal, in the order in which its silence matters, or None."""
        signals = {"reference": self._references[source], "estimate": estimate, "mixture": self._mixture}
        for name, signal in signals.items():
            if is_silent(signal, threshold_db=self._threshold_db) or not signal.any():
                return f"silent {name}"
        return None


def score_separation(
    *,
    references: Float[np.ndarray, "N S"],
    estimates: Float[np.ndarray, "M S"],
    mixture: Float[np.ndarray, "S"],
    scored: Sequence[int] | None = None,
    silence_threshold_db: float = SILENCE_DB,
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
    scorer = MixtureScorer(
        references=references, mixture=mixture, scored=scored, silence_threshold_db=silence_threshold_db
    )
    return scorer.score(estimates)


def _check_references(references: np.ndarray, mixture: np.ndarray, sources: list[int]) -> None:
    """Raise ValueError for shapes that would be broadcast or cut silently."""
    if references.ndim != 2 or references.size == 0:
        raise ValueError(f"references: expected shape [sources, samples], got {references.shape}")
    if len(set(sources)) != len(sources) or any(not 0 <= source < len(references) for source in sources):
        raise ValueError(f"scored: expected different indices from 0 to {len(references) - 1}, got {sources}")
    if mixture.shape != references.shape[1:]:
        raise ValueError(_misshapen("mixture", references.shape[1:], mixture))


def _misshapen(name: str, expected: tuple[int, ...], signal: np.ndarray) -> str:
    """Say what shape was expected."""
    return f"{name}: expected shape {expected}, got {signal.shape}; align and cut all signals to one length"


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
