"""How a sound begins, how noise-like, harmonic and steady it is: HFRA's Fig. 1 sets these against the kind of fusion.

The paper measures nothing: it calls instruments transient, sustained or harmonically rich. The four measures here are
ours, each a pure function of a mono sound: the attack time and the spectral flatness as in Peeters (2004), harmonicity
by the normalised autocorrelation as in Boersma (1993), stationarity as the likeness of spectra a quarter second apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from scipy.signal import find_peaks
from scipy.stats import spearmanr

_FRAME_SECONDS, _HOP_SECONDS = 0.064, 0.016
_ENVELOPE_SECONDS = 0.005
_ATTACK = (0.2, 0.9)
"""Shares of a peak of the envelope between which its rise is timed."""
_PITCH_HZ = (50.0, 1500.0)
_LATER_SECONDS = 0.25
_QUIET = 1e-4
"""Frames below this share of the loudest frame's power (−40 dB) are left out."""
_SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Acoustics:
    """The measures of one sound; nan where it has nothing to measure."""

    attack_seconds: float
    """Median time in which peaks of the envelope rise from 20 to 90 % of their height; s."""
    flatness: float
    """Geometric over arithmetic mean of a frame's power spectrum, 0 (a tone) to 1; mean over frames."""
    harmonicity: float
    """Highest normalised autocorrelation at the periods of 50 to 1500 Hz, 0 to 1 (periodic); mean over frames."""
    stationarity: float
    """Cosine of a frame's magnitudes to those a quarter second later, 0 to 1 (the same); mean over frames."""


PROPERTIES = tuple(entry.name for entry in fields(Acoustics))


def measure(sound: Float[np.ndarray, "S"], sample_rate_hz: int) -> Acoustics:
    """Measure a mono sound of any level; frames 40 dB below the loudest do not count."""
    frames = _frames(sound.astype(np.float64), sample_rate_hz)
    power = np.square(frames).sum(axis=1)
    if not power.size or power.max() <= 0:
        return Acoustics(**dict.fromkeys(PROPERTIES, float("nan")))
    heard = power > _QUIET * power.max()
    window = np.hanning(frames.shape[1])
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1))
    return Acoustics(
        attack_seconds=attack_seconds(sound, sample_rate_hz),
        flatness=float(_flatness(magnitude[heard]).mean()),
        harmonicity=float(_harmonicity(frames[heard], window, sample_rate_hz).mean()),
        stationarity=_stationarity(magnitude, heard),
    )


def attack_seconds(sound: Float[np.ndarray, "S"], sample_rate_hz: int) -> float:
    """Return the median rise from 20 to 90 % over the peaks of the envelope that are at least a third of the highest.

    The envelope is the RMS of 5 ms. It returns nan for silence.
    """
    step = max(1, round(_ENVELOPE_SECONDS * sample_rate_hz))
    blocks = sound[: len(sound) // step * step].astype(np.float64).reshape(-1, step)
    envelope = np.sqrt(np.square(blocks).mean(axis=1))
    if not envelope.size or envelope.max() <= 0:
        return float("nan")
    padded = np.concatenate([[0.0], envelope, [0.0]])
    apart = max(1, round(0.1 / _ENVELOPE_SECONDS))
    peaks, _ = find_peaks(padded, height=padded.max() / 3, prominence=padded.max() / 5, distance=apart)
    if not peaks.size:
        peaks = np.array([int(padded.argmax())])
    rises = []
    for peak in peaks:
        low, high = (_last_below(padded, int(peak), share * padded[peak]) for share in _ATTACK)
        rises.append((high - low) * _ENVELOPE_SECONDS)
    return float(np.median(rises))


def correlations(
    gains: Mapping[str, float], properties: Mapping[str, Mapping[str, float]]
) -> dict[str, tuple[float, float, int]]:
    """Return Spearman's rank correlation of gains with each property over classes, its p, and the number of classes.

    Args:
        gains: dB by class.
        properties: for each class its mean properties.
    """
    found = {}
    for name in PROPERTIES:
        pairs = [(properties[label][name], gain) for label, gain in gains.items() if label in properties]
        finite = np.array([pair for pair in pairs if np.isfinite(pair).all()]).reshape(-1, 2)
        varied = len(finite) > 2 and bool(np.ptp(finite, axis=0).all())
        result = spearmanr(finite[:, 0], finite[:, 1]) if varied else (float("nan"), float("nan"))
        found[name] = (float(result[0]), float(result[1]), len(finite))
    return found


def _last_below(envelope: Float[np.ndarray, "n"], peak: int, level: float) -> float:
    """Return where the envelope last crosses a level before a peak, in blocks, interpolated."""
    below = np.flatnonzero(envelope[: peak + 1] < level)
    if not below.size:
        return 0.0
    last = int(below[-1])
    return float(last + (level - envelope[last]) / max(envelope[last + 1] - envelope[last], _SMALLEST))


def _frames(sound: Float[np.ndarray, "S"], sample_rate_hz: int) -> Float[np.ndarray, "T n"]:
    """Cut a sound into overlapping frames; one that is shorter than a frame is filled with zeros."""
    length = 2 * (round(_FRAME_SECONDS * sample_rate_hz) // 2)
    hop = max(1, round(_HOP_SECONDS * sample_rate_hz))
    padded = np.pad(sound, (0, max(0, length - len(sound))))
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]


def _flatness(magnitude: Float[np.ndarray, "T F"]) -> Float[np.ndarray, "T"]:
    power = np.square(magnitude[:, 1:]) + _SMALLEST
    return np.asarray(np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1))


def _harmonicity(
    frames: Float[np.ndarray, "T n"], window: Float[np.ndarray, "n"], sample_rate_hz: int
) -> Float[np.ndarray, "T"]:
    """Divide the autocorrelation of the windowed frame by the window's own, so that a periodic sound has 1."""
    length = frames.shape[1]
    centred = (frames - frames.mean(axis=1, keepdims=True)) * window
    # Beyond half a frame the window's own autocorrelation is too small to divide by.
    first, last = (round(sample_rate_hz / hertz) for hertz in reversed(_PITCH_HZ))
    lags = slice(max(1, first), min(last, length // 2) + 1)
    ratio = _autocorrelation(centred)[:, lags] / _autocorrelation(window)[lags]
    return np.asarray(ratio.max(axis=1).clip(0.0, 1.0))


def _autocorrelation(values: Float[np.ndarray, "*T n"]) -> Float[np.ndarray, "*T n"]:
    """Compute the autocorrelation at lags of 0 to n − 1 samples, divided by that at 0."""
    length = values.shape[-1]
    spectrum = np.fft.rfft(values, 2 * length, axis=-1)
    lags = np.fft.irfft(np.square(np.abs(spectrum)), axis=-1)[..., :length]
    return np.asarray(lags / np.maximum(lags[..., :1], _SMALLEST))


def _stationarity(magnitude: Float[np.ndarray, "T F"], heard: np.ndarray) -> float:
    later = round(_LATER_SECONDS / _HOP_SECONDS)
    both = heard[:-later] & heard[later:]
    if not both.any():
        return float("nan")
    now, then = magnitude[:-later][both], magnitude[later:][both]
    lengths = np.linalg.norm(now, axis=1) * np.linalg.norm(then, axis=1)
    return float(((now * then).sum(axis=1) / np.maximum(lengths, _SMALLEST)).mean())
