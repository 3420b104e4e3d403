"""BSS Eval v3 (`bss_eval_sources`): SDR, SIR and SAR of estimated sources, by FFT and Cholesky.

The estimate ŝ is split into orthogonal parts by two projections: P_j onto the span of the true source j delayed by 0 …
L−1 samples (the allowed distortion: a filter of L taps), and P onto the span of all true sources so delayed:

    ŝ = P_j ŝ  +  (P ŝ − P_j ŝ)  +  (ŝ − P ŝ)          target · interference · artifacts

Vincent, Gribonval and Févotte, "Performance measurement in blind audio source separation", IEEE TASLP 14(4), 2006,
Section III.B; the reference implementation is mir_eval 0.8's `separation.bss_eval_sources`. Both projections need only
correlations over L lags, which are taken from one FFT per signal, and one factorisation per set of references. Silence
is not judged here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import fft, linalg

from trisep.metrics.scale_invariant import energy_ratio_db

FILTER_LENGTH = 512
"""Taps of the distortion that BSS Eval v3 allows, at every sample rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BssEval:
    """Ratios in dB, one per scored source; inf where a part has no energy (see `energy_ratio_db`)."""

    sdr: Float[np.ndarray, "M"]
    """Target over interference and artifacts together."""
    sir: Float[np.ndarray, "M"]
    """Target over interference; inf where there is only one reference."""
    sar: Float[np.ndarray, "M"]
    """Target and interference over artifacts."""


class BssReference:
    """A set of true sources, prepared once, so that scoring the mixture and any number of estimates is cheap.

    Example:
        >>> truth = BssReference(sources)                                      # doctest: +SKIP
        >>> improvement_db = truth.score(estimates).sdr - truth.score_mixture(mixture).sdr   # doctest: +SKIP
    """

    ridge: float
    """Constant added to the unit diagonal of the Gram matrix before Cholesky succeeded; normally 0.0. Above zero the
    delayed references are linearly dependent to rounding (duplicates, three pure tones, sources that all lack energy in
    one band). SDR is then unaffected, but SIR and SAR carry rounding, as in mir_eval, whose values change as much when
    the references are rescaled. The converse does not hold: a matrix that barely passes has the same trouble."""

    def __init__(self, reference: Float[np.ndarray, "N S"], *, filter_length: int = FILTER_LENGTH) -> None:
        """Correlate the references with one another and factorise their Gram matrices.

        Args:
            reference: true sources, [N, S]; none of them all zeros (leave those out: they span nothing).
            filter_length: taps L of the allowed distortion filter; 512 in BSS Eval v3 at every sample rate.

        Raises:
            ValueError: not two-dimensional, empty, not finite, an all-zero reference, or a filter_length below 1.
        """
        if filter_length < 1:
            raise ValueError(f"filter_length: expected at least 1 tap, got {filter_length}")
        sources = _checked(reference, "reference")
        self.num_sources, self.num_samples = sources.shape
        self.filter_length = filter_length
        self._fft_length = int(fft.next_fast_len(self.num_samples + filter_length - 1, real=True))
        # Projections do not depend on a source's scale; unit norms keep very unequal levels well conditioned.
        unit_norm = sources / np.linalg.norm(sources, axis=1, keepdims=True)
        self._spectra = fft.rfft(unit_norm, self._fft_length, axis=1)
        self._gram = self._inner_products()
        self._solve_joint, self.ridge = _factorise(self._gram)
        self._solve_alone: dict[int, Callable[[np.ndarray], np.ndarray]] = {}

    def score(self, estimate: Float[np.ndarray, "M S"], *, sources: Sequence[int] | None = None) -> BssEval:
        """Score estimates, each against its own source.

        Args:
            estimate: [M, S], none all zeros.
            sources: the index of the reference that each estimate belongs to; None means one estimate per reference, in
                order.

        Raises:
            ValueError: shape, index or samples do not fit; an estimate is all zeros.
        """
        signals = _checked(estimate, "estimate")
        indices = self._indices(sources)
        if signals.shape != (len(indices), self.num_samples):
            raise ValueError(
                f"estimate: expected shape {(len(indices), self.num_samples)}, one row per scored source, got "
                f"{signals.shape}"
            )
        return self._decompose(signals, list(range(len(indices))), indices)

    def score_mixture(self, mixture: Float[np.ndarray, "S"], *, sources: Sequence[int] | None = None) -> BssEval:
        """Score one signal as if it were the estimate of each of the given sources (all, when None).

        These scores are the baseline of an improvement. They equal `score` on repeated rows, but the signal is
        transformed and projected once.

        Raises:
            ValueError: shape, index or samples do not fit; the signal is all zeros.
        """
        signals = _checked(mixture[np.newaxis], "mixture")
        indices = self._indices(sources)
        if signals.shape[1] != self.num_samples:
            raise ValueError(
                f"mixture: expected {self.num_samples} samples as in the references, got {signals.shape[1]}"
            )
        return self._decompose(signals, [0] * len(indices), indices)

    def _indices(self, sources: Sequence[int] | None) -> list[int]:
        """Return the indices of the scored references, checked."""
        indices = list(range(self.num_sources)) if sources is None else [int(index) for index in sources]
        if any(not 0 <= index < self.num_sources for index in indices):
            raise ValueError(f"sources: expected indices from 0 to {self.num_sources - 1}, got {indices}")
        return indices

    def _inner_products(self) -> Float[np.ndarray, "NL NL"]:
        """Compute the inner products of all delayed references.

        Block (i, j) is Toeplitz, with entry (a, b) = Σ_t s_i[t − a] s_j[t − b].
        """
        taps = self.filter_length
        gram = np.empty((self.num_sources * taps, self.num_sources * taps), order="F")
        for i in range(self.num_sources):
            rows = slice(i * taps, (i + 1) * taps)
            for j in range(i + 1):
                columns = slice(j * taps, (j + 1) * taps)
                correlation = fft.irfft(self._spectra[i].conj() * self._spectra[j], self._fft_length)
                lags = np.concatenate([correlation[self._fft_length - taps + 1 :], correlation[:taps]])  # −(L−1) … L−1
                gram[rows, columns] = np.lib.stride_tricks.sliding_window_view(lags, taps)[:, ::-1]
                if i != j:
                    gram[columns, rows] = gram[rows, columns].T
        return gram

    def _project_alone(self, source: int, correlation: Float[np.ndarray, "L"]) -> Float[np.ndarray, "L"]:
        """Compute the filter of P_j.

        Its factorisation is made when it is first needed, since partial scoring may never need it.
        """
        if source not in self._solve_alone:
            own = slice(source * self.filter_length, (source + 1) * self.filter_length)
            self._solve_alone[source] = _factorise(self._gram[own, own])[0]
        return self._solve_alone[source](correlation)

    def _decompose(self, signals: Float[np.ndarray, "E S"], rows: list[int], sources: list[int]) -> BssEval:
        """Compute, for each pair of signals[row] and source, the ratios in dB of the energies of the three parts."""
        taps, fft_length = self.filter_length, self._fft_length
        spectra = fft.rfft(signals, fft_length, axis=1)
        correlations = np.empty((self.num_sources, taps, len(signals)))
        for i, own in enumerate(self._spectra):
            for m, other in enumerate(spectra):
                correlations[i, :, m] = fft.irfft(own.conj() * other, fft_length)[:taps]
        joint_filters = self._solve_joint(correlations.reshape(self.num_sources * taps, -1)).reshape(correlations.shape)
        joint = np.zeros_like(spectra)
        for i, own in enumerate(self._spectra):
            joint += own * fft.rfft(np.ascontiguousarray(joint_filters[i].T), fft_length, axis=1)
        ratios = np.empty((3, len(sources)))
        for column, (m, j) in enumerate(zip(rows, sources, strict=True)):
            if self.num_sources == 1:
                target, interference = joint[m], 0.0
            else:
                alone_filter = self._project_alone(j, correlations[j, :, m])
                target = self._spectra[j] * fft.rfft(alone_filter, fft_length)
                interference = _energy(joint[m] - target, fft_length)
            target_energy = _energy(target, fft_length)
            ratios[:, column] = energy_ratio_db(
                [target_energy, target_energy, _energy(joint[m], fft_length)],
                [_energy(spectra[m] - target, fft_length), interference, _energy(spectra[m] - joint[m], fft_length)],
            )
        return BssEval(sdr=ratios[0], sir=ratios[1], sar=ratios[2])


def bss_eval_sources(
    *, reference: Float[np.ndarray, "N S"], estimate: Float[np.ndarray, "N S"], filter_length: int = FILTER_LENGTH
) -> BssEval:
    """Compute SDR, SIR and SAR of BSS Eval v3 without permutation, estimate n against reference n, in dB.

    They equal `mir_eval.separation.bss_eval_sources(reference, estimate, compute_permutation=False)` to far below 1e-6
    dB unless the Gram matrix's condition number nears 1 / ε of float64; there SIR and SAR agree as closely as mir_eval
    agrees with itself on rescaled references (see `BssReference.ridge`). The computation is in float64. The energies
    are those of the projected signals themselves, by Parseval's theorem, not differences of quadratic forms, which lose
    digits at high ratios.

    *Our deviations:* a Gram matrix that is not positive definite gets a ridge of rounding size (mir_eval: LU, then
    least squares); ratios beyond ±200 dB are ±inf, among them SIR with a single reference; empty input is an error,
    not an empty result.

    Args:
        reference: true sources, [N, S].
        estimate: their estimates, [N, S].
        filter_length: taps of the allowed distortion filter.

    Raises:
        ValueError: shapes differ or are empty, samples are not finite, or a reference or estimate is all
            zeros (as in mir_eval).
    """
    return BssReference(reference, filter_length=filter_length).score(estimate)


def _checked(signals: np.ndarray, name: str) -> Float[np.ndarray, "N S"]:
    """Return the signals in float64; raise ValueError where BSS Eval is undefined."""
    if signals.ndim != 2 or signals.size == 0:
        raise ValueError(f"{name}: expected signals of shape [sources, samples], got shape {signals.shape}")
    if not np.isfinite(signals).all():
        raise ValueError(f"{name}: expected finite samples, got nan or inf; look at what produced it")
    silent = np.flatnonzero(~signals.any(axis=1))
    if silent.size:
        raise ValueError(
            f"{name}: signal {silent[0]} is all zeros, where BSS Eval is undefined; skip it, as score_separation does"
        )
    return np.asarray(signals, np.float64)


def _factorise(gram: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Build a solver of gram · x = d by Cholesky, and return it with the ridge that it took.

    The ridge is zero, else the smallest of 1e-14, 1e-13, … that suffices.
    """
    ridge = 0.0
    while True:
        regular = gram.copy(order="F")
        np.fill_diagonal(regular, gram.diagonal() + ridge)
        try:
            factor = linalg.cho_factor(regular, lower=True, overwrite_a=True, check_finite=False)
            break
        except linalg.LinAlgError:
            ridge = 10.0 * ridge or 1e-14

    def solve(right_hand_side: np.ndarray) -> np.ndarray:
        """Solve with the computed factor."""
        return np.asarray(linalg.cho_solve(factor, right_hand_side, check_finite=False))

    return solve, ridge


def _energy(spectrum: np.ndarray, fft_length: int) -> float:
    """Compute the energy, times fft_length, of the real signal behind a half spectrum: inner bins stand for two."""
    energy = 2.0 * np.vdot(spectrum, spectrum).real - abs(spectrum[0]) ** 2
    return float(energy - abs(spectrum[-1]) ** 2 if fft_length % 2 == 0 else energy)
