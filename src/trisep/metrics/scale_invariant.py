"""SNR and scale-invariant SDR of waveforms, and the one place where an energy ratio becomes decibels.

This file knows no models or files. It does not decide what counts as silence: `trisep.metrics.score_separation` does.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

LARGEST_RATIO_DB = 200.0
"""Ratios beyond ±200 dB are rounding noise of float64 transforms and sums, and are reported as ±inf."""


def energy_ratio_db(signal: ArrayLike, error: ArrayLike) -> Float[np.ndarray, "..."]:
    """Return 10·log10(signal / error) for energies ≥ 0, elementwise with broadcasting.

    Beyond ±`LARGEST_RATIO_DB` the result is ±inf; 0 / 0 is nan (undefined). *Our deviation* from mir_eval, which prints
    whatever rounding leaves (about 250 to 330 dB) unless it is exactly zero.
    """
    signal, error = np.broadcast_arrays(np.asarray(signal, np.float64), np.asarray(error, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(10.0 * np.log10(signal / error))
    return np.where(np.abs(ratio) > LARGEST_RATIO_DB, np.copysign(np.inf, ratio), ratio)


def _as_pair(
    reference: Float[np.ndarray, "... S"], estimate: Float[np.ndarray, "... S"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return both signals in float64; raise ValueError unless they have one shape and only finite samples."""
    if reference.shape != estimate.shape:
        raise ValueError(
            f"estimate: expected the shape of reference, {reference.shape}, got {estimate.shape}; cut both to one "
            "length"
        )
    pair = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    for name, signal in zip(("reference", "estimate"), pair, strict=True):
        if not np.isfinite(signal).all():
            raise ValueError(f"{name}: expected finite samples, got nan or inf; look at what produced it")
    return pair


def _undefined_where_zero(
    ratio_db: np.ndarray, reference: np.ndarray, estimate: np.ndarray
) -> Float[np.ndarray, "..."]:
    """Set nan where either signal is all zeros: the textbook value there (0 dB, −inf) would look like a score."""
    return np.where(reference.any(axis=-1) & estimate.any(axis=-1), ratio_db, np.nan)


def snr(*, reference: Float[np.ndarray, "... S"], estimate: Float[np.ndarray, "... S"]) -> Float[np.ndarray, "..."]:
    """Compute the signal-to-noise ratio ‖s‖² / ‖ŝ − s‖² in dB, of a reference s and an estimate ŝ, along the last axis.

    It is sensitive to level: half the right amplitude gives 6 dB. The same ratio is called "SDR" by `bss_eval_images`
    and by museval (there per window, as no filter is allowed in its target), by CLIPSep and by AudioSep.

    Args:
        reference: true signals, [..., S], linear full scale.
        estimate: the estimates, same shape.

    Returns:
        dB, [...], computed in float64. inf for an equal estimate. *Our deviation:* nan where reference or estimate is
        all zeros, so that silence never counts as 0 dB.

    Raises:
        ValueError: shapes differ, or a sample is not finite.
    """
    true, estimated = _as_pair(reference, estimate)
    ratio_db = energy_ratio_db(np.sum(true**2, axis=-1), np.sum((estimated - true) ** 2, axis=-1))
    return _undefined_where_zero(ratio_db, true, estimated)


def si_sdr(
    *, reference: Float[np.ndarray, "... S"], estimate: Float[np.ndarray, "... S"], zero_mean: bool = False
) -> Float[np.ndarray, "..."]:
    """Compute the scale-invariant SDR ‖αs‖² / ‖αs − ŝ‖² with α = ⟨ŝ, s⟩ / ‖s‖², in dB, along the last axis.

    SDR is the signal-to-distortion ratio. Le Roux, Wisdom, Erdogan and Hershey, "SDR – half-baked or well done?",
    ICASSP 2019, Eq. 1–4. As in the paper no mean is subtracted; some libraries do, which `zero_mean=True` reproduces.

    Args:
        reference: true signals s, [..., S].
        estimate: the estimates ŝ, same shape.
        zero_mean: subtract each signal's mean first.

    Returns:
        dB, [...], computed in float64. inf for a scaled copy of the reference (of either sign), −inf for an orthogonal
        estimate. *Our deviation:* nan where reference or estimate is all zeros (no ε is added, so short or quiet
        signals are not biased).

    Raises:
        ValueError: shapes differ, or a sample is not finite.

    Example:
        >>> float(si_sdr(reference=np.array([1.0, 0.0]), estimate=np.array([10.0, 1.0])))
        20.0
    """
    true, estimated = _as_pair(reference, estimate)
    if zero_mean:
        true, estimated = true - true.mean(axis=-1, keepdims=True), estimated - estimated.mean(axis=-1, keepdims=True)
    true_energy = np.sum(true**2, axis=-1, keepdims=True)
    scale = np.sum(estimated * true, axis=-1, keepdims=True) / np.where(true_energy > 0.0, true_energy, 1.0)
    target = scale * true
    ratio_db = energy_ratio_db(np.sum(target**2, axis=-1), np.sum((target - estimated) ** 2, axis=-1))
    return _undefined_where_zero(ratio_db, true, estimated)
