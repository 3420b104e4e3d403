"""Several channels → one, without loss of what the channels cancel in their mean.

The downmix is the mean of the channels. Where that leaves less than a tenth of what unrelated channels would leave, as
in a stereo sound of which one channel was wired the wrong way round, the channels that run against the others are
turned round first, so that their energy adds up. Where it does so in some bands or moments only, as of one source with
opposite signs beside another with equal ones, no choice of signs keeps both: these channels are shifted by a quarter of
a period (90°) against the others, and both sources come out with their energy. It is decided for every second. Two
noises of the same power and colour, one with equal signs and one with opposite ones, cannot be told from two noises
that have a channel each, and are averaged. This file knows no files.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Complex, Float, Float32

_BLOCK_SECONDS = 1.0
_LEAST_SECONDS = 0.25
"""A shorter rest is too short to tell, and is mixed down as what comes before it."""
_CANCELLED_SHARE = 0.1
_WEAKENED_SHARE = 0.7
"""Unrelated channels leave 1, or nearly; where less than this is left, more runs against each other than together."""
_PARTLY_SHARE = 0.05
"""The mean is left as soon as it cancels more than this share of the energy, found in places of time and frequency."""
_SURELY_TOGETHER = _PARTLY_SHARE / 2
"""Where even this share cannot be cancelled, no spectrogram is made: all else would need more than its whole energy."""
_WINDOW_SECONDS, _SMOOTHED_FRAMES, _SMOOTHED_BINS = 0.064, 5, 3
"""Of the spectrogram in which that is found. Over so many places even unrelated channels hardly ever cancel."""
_LEAST_PART = 0.1
"""A channel that has less than this of the largest part in what is cancelled is left as it is."""
_FADE_SAMPLES = 1024
"""The mix changes over within so many samples, lest it click."""
_WARM_SECONDS = 0.1
"""The filters of the quarter period begin so long before they are heard."""
_SECTIONS = (
    (0.6923878, 0.9360654322959, 0.9882295226860, 0.9987488452737),
    (0.4021921162426, 0.8561710882420, 0.9722909545651, 0.9952884791278),
)
"""Two chains of all-pass filters, (a² − z⁻²) / (1 − a² z⁻²) each; the outputs, the first delayed by one sample more,
are a quarter of a period apart, to within 1° from 0.0005 of the sampling rate on (Olli Niemitalo's coefficients of
"Hilbert transform", 1999)."""
_CHAINS = [np.array([[a * a, 0, -1, 1, 0, -a * a] for a in chain]) for chain in _SECTIONS]


class Downmix:
    """Mixes blocks of about a second down, one after the other."""

    def __init__(self, sample_rate_hz: int, num_channels: int) -> None:
        """Start with the mean."""
        self._rate_hz = sample_rate_hz
        self._mix: _Weighted | _QuarterPeriod = _Weighted(np.ones(num_channels, np.float32))
        self._before = np.zeros((num_channels, 0), np.float32)
        """The end of the last block."""
        self._is_first = True

    def push(self, block: Float[np.ndarray, "C n"]) -> Float32[np.ndarray, "n"]:
        """Mix the next block down."""
        before = self._mix
        if self._is_first or block.shape[1] >= _LEAST_SECONDS * self._rate_hz:
            self._mix = self._mix_for(block)
        fading = 0 if self._mix is before or self._is_first else min(_FADE_SAMPLES, block.shape[1])
        faded = before.push(block[:, :fading])
        mono = self._mix.push(block)
        ramp = (np.arange(fading, dtype=np.float32) + 1) / (fading + 1)
        mono[:fading] = ramp * mono[:fading] + (1 - ramp) * faded
        self._is_first = False
        self._before = block[:, -round(_WARM_SECONDS * self._rate_hz) :]
        return mono

    def _mix_for(self, block: Float[np.ndarray, "C n"]) -> "_Weighted | _QuarterPeriod":
        """Choose the mix of a block: the last one where it need not change."""
        if block.shape[0] == 1 or block.shape[1] < 2:
            return self._mix
        beside = block - block.mean(axis=1, keepdims=True)
        powers = beside @ beside.T
        if not powers.any():
            return self._mix
        # The mean of channels that have nothing in common has 1/C² of the sum of their powers.
        if powers.sum() < _CANCELLED_SHARE * np.trace(powers):
            signs = np.where(_against(powers, 0.0), np.float32(-1), np.float32(1))
            return self._weighted(-signs if signs @ self._mix.signs < 0 else signs)
        if powers.sum() < _WEAKENED_SHARE * np.trace(powers):
            shifted = _against(powers, _LEAST_PART)
        elif _is_together(powers):
            shifted = np.zeros(len(block), bool)
        else:
            shifted = _partly_cancelled(beside, self._rate_hz)
        if not shifted.any():
            return self._weighted(np.ones(len(block), np.float32))
        if isinstance(self._mix, _QuarterPeriod) and np.array_equal(self._mix.shifted, shifted):
            return self._mix
        mix = _QuarterPeriod(shifted)
        mix.push(self._before)
        return mix

    def _weighted(self, signs: Float32[np.ndarray, "C"]) -> "_Weighted | _QuarterPeriod":
        """Return the mean with these signs."""
        if isinstance(self._mix, _Weighted) and np.array_equal(self._mix.signs, signs):
            return self._mix
        return _Weighted(signs)


def _is_together(powers: Float[np.ndarray, "C C"]) -> bool:
    """Tell whether the sum of the channels is so strong that hardly anything can be cancelled in it.

    What is not cancelled adds up to C times its power at most (Cauchy and Schwarz), what is cancelled to 0.1 times.
    """
    num_channels = len(powers)
    most = num_channels - _SURELY_TOGETHER * (num_channels - _CANCELLED_SHARE)
    return bool(powers.sum() > most * np.trace(powers))


def _partly_cancelled(block: Float[np.ndarray, "C n"], sample_rate_hz: int) -> Bool[np.ndarray, "C"]:
    """Tell which channels run against the others where the mean cancels them; none where it cancels next to nothing."""
    from scipy.fft import next_fast_len

    num_channels, length = len(block), next_fast_len(max(8, round(_WINDOW_SECONDS * sample_rate_hz)), real=True)
    none = np.zeros(num_channels, bool)
    if block.shape[1] < 2 * length:
        return none
    frames = _spectra(block, length)
    powers = _smoothed(_power(frames).sum(axis=0))
    cancelled = _smoothed(_power(frames.sum(axis=0))) < _CANCELLED_SHARE * powers
    if powers[cancelled].sum() <= _PARTLY_SHARE * powers.sum():
        return none
    places: Complex[np.ndarray, "C P"] = frames[:, cancelled]
    return _against((places @ places.conj().T).real, _LEAST_PART)


def _spectra(block: Float[np.ndarray, "C n"], length: int) -> Complex[np.ndarray, "C T F"]:
    """Transform windows that overlap by half, from half a window before the block on, in single precision."""
    from scipy.fft import rfft

    hop = length // 2
    padded = np.pad(block.astype(np.float32, copy=False), [(0, 0), (hop, hop)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)[:, ::hop]
    spectra: np.ndarray = rfft(frames * np.hanning(length + 2)[1:-1].astype(np.float32))
    return spectra


def _power(spectra: Complex[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
    """Square the magnitudes."""
    power: np.ndarray = np.square(spectra.real) + np.square(spectra.imag)
    return power


def _smoothed(power: Float[np.ndarray, "T F"]) -> Float[np.ndarray, "T F"]:
    """Average over neighbouring places of a spectrogram."""
    from scipy.ndimage import uniform_filter

    smoothed: np.ndarray = uniform_filter(power, (_SMOOTHED_FRAMES, _SMOOTHED_BINS), mode="nearest")
    return smoothed


def _against(powers: Float[np.ndarray, "C C"], least_part: float) -> Bool[np.ndarray, "C"]:
    """Tell which channels have the other sign than the one with the largest part in what all have in common."""
    direction = np.linalg.eigh(powers)[1][:, -1]
    largest = direction[np.abs(direction).argmax()]
    against: np.ndarray = direction / largest < -least_part
    return against


class _Weighted:
    """The mean of the channels, some of them turned round."""

    def __init__(self, signs: Float32[np.ndarray, "C"]) -> None:
        self.signs = signs

    def push(self, block: Float[np.ndarray, "C n"]) -> Float32[np.ndarray, "n"]:
        """Mix down; it has no memory."""
        signed = block if (self.signs > 0).all() else block * self.signs[:, None]
        mean: np.ndarray = signed.mean(axis=0, dtype=np.float32)
        return mean


class _QuarterPeriod:
    """The sum of the channels, some of them shifted by a quarter of a period.

    Of n and m channels in the two groups it is divided by √(n² + m²): what is the same in all channels keeps its level.
    """

    def __init__(self, shifted: Bool[np.ndarray, "C"]) -> None:
        self.shifted = shifted
        self.signs = np.ones(len(shifted), np.float32)
        groups = np.stack([~shifted, shifted])
        self._weights = groups / np.hypot(*groups.sum(axis=1))
        self._states = [np.zeros((len(chain), 2)) for chain in _CHAINS]
        self._delayed = 0.0

    def push(self, block: Float[np.ndarray, "C n"]) -> Float32[np.ndarray, "n"]:
        """Mix the next samples down."""
        if block.shape[1] == 0:
            return np.zeros(0, np.float32)
        from scipy.signal import sosfilt

        groups = self._weights @ block.astype(np.float64)
        parts = []
        for number, chain in enumerate(_CHAINS):
            part, self._states[number] = sosfilt(chain, groups[number], zi=self._states[number])
            parts.append(part)
        delayed = np.concatenate([[self._delayed], parts[0]])
        self._delayed = delayed[-1]
        mono: np.ndarray = (delayed[:-1] + parts[1]).astype(np.float32)
        return mono


def downmixed(
    blocks: Iterable[Float32[np.ndarray, "C n"]], *, sample_rate_hz: int, num_channels: int
) -> Iterator[Float32[np.ndarray, "1 n"]]:
    """Mix a sound down; it comes out in blocks of a second where there are several channels."""
    if num_channels == 1:
        yield from blocks
        return
    downmix = Downmix(sample_rate_hz, num_channels)
    for block in equal_blocks(blocks, max(1, round(_BLOCK_SECONDS * sample_rate_hz))):
        yield downmix.push(block)[None]


def equal_blocks(
    chunks: Iterable[Float32[np.ndarray, "C n"]], block_samples: int
) -> Iterator[Float32[np.ndarray, "C n"]]:
    """Regroup chunks of any length into blocks of one length; the last may be shorter, and none is empty."""
    waiting: list[np.ndarray] = []
    num_waiting = 0
    for chunk in chunks:
        waiting.append(chunk)
        num_waiting += chunk.shape[1]
        if num_waiting < block_samples:
            continue
        joined = np.concatenate(waiting, axis=1)
        whole = num_waiting - num_waiting % block_samples
        for begin in range(0, whole, block_samples):
            yield np.ascontiguousarray(joined[:, begin : begin + block_samples])
        waiting, num_waiting = [joined[:, whole:]], num_waiting - whole
    if num_waiting:
        yield np.ascontiguousarray(np.concatenate(waiting, axis=1))
