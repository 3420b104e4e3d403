"""What a network hears of a sound: neither a constant offset nor rumble below 20 Hz, which no ear hears either.

Both stay in the samples that are written; an offset and rumble that are small beside the sound stay also in what is
heard, as they were in training. The thresholds are ours. This file knows no files.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from trisep.media.audio import StreamedResampler
from trisep.media.level import SILENCE, level_from_sums

LOWEST_HZ = 20.0
"""Below it nothing is heard; what is shorter than one period of it has neither offset nor rumble."""
_OFFSET_SHARE = 1e-3
"""An offset is taken out where its power is more than this share of the power of the sound: −30 dB."""
_RUMBLE_SHARE = 0.3
"""The same of rumble, which is in many recordings, those of training among them: −5 dB."""
_NOTHING_SHARE = 1e-6
"""Where the rest is less than this share of an offset or rumble, it is what rounding and codecs leave of silence."""
_SHORTEST_RUMBLE_SECONDS = 1.0
_EDGE_SECONDS = 0.5
"""The low-pass sees a sound extended by so much at either end, point-mirrored: else each end would be a step."""


@dataclass(frozen=True, slots=True)
class Unheard:
    """What of a sound is not heard."""

    offsets: Float32[np.ndarray, "C"]
    """The constant in each channel; 0 where it stays."""
    has_rumble: bool

    def __bool__(self) -> bool:
        """Tell whether anything is taken out."""
        return self.has_rumble or bool(self.offsets.any())


class OffsetMeter:
    """The constant offset of each channel of a sound, and whether there is anything beside it."""

    def __init__(self, sample_rate_hz: int, num_channels: int) -> None:
        """Start before the first sample."""
        self._shortest = sample_rate_hz / LOWEST_HZ
        self._num_samples = 0
        self._sums, self._squares = np.zeros(num_channels), np.zeros(num_channels)

    def update(self, block: Float[np.ndarray, "C n"]) -> None:
        """Measure the next samples."""
        self._num_samples += block.shape[1]
        self._sums += block.sum(axis=1, dtype=np.float64)
        self._squares += np.square(block, dtype=np.float64).sum(axis=1)

    @property
    def _means(self) -> Float[np.ndarray, "C"]:
        """Mean of each channel; zeros where the sound is too short to have one."""
        if self._num_samples < max(1, self._shortest):
            return np.zeros_like(self._sums)
        means: np.ndarray = self._sums / self._num_samples
        return means

    @property
    def _variances(self) -> Float[np.ndarray, "C"]:
        """Power of each channel beside its mean."""
        variances: np.ndarray = self._squares / max(1, self._num_samples) - np.square(self._means)
        return variances

    @property
    def offsets(self) -> Float32[np.ndarray, "C"]:
        """The offset of each channel; zeros where they are small beside the sound."""
        is_large = np.square(self._means).sum() > _OFFSET_SHARE * self._variances.sum()
        offsets: np.ndarray = (self._means * is_large).astype(np.float32)
        return offsets

    @property
    def is_silent(self) -> bool:
        """Whether no channel holds anything but a constant."""
        least = np.maximum(SILENCE, _NOTHING_SHARE * np.square(self._means))
        return not bool((self._variances > least).any())


class HeardMeter:
    """The level of a mono sound as it is heard, and whether it has rumble that must be taken out."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Start before the first sample."""
        self._rate_hz = sample_rate_hz
        self._num_samples, self._sum, self._squares = 0, 0.0, 0.0
        self._low = StreamedResampler(
            from_hz=sample_rate_hz, to_hz=round(2 * LOWEST_HZ), num_channels=1, name="the sound"
        )
        self._start: np.float32 | None = None
        self._beginning = np.zeros(0, np.float32)
        self._num_low, self._low_sum, self._low_squares = 0, 0.0, 0.0

    def update(self, mono: Float[np.ndarray, "n"]) -> None:
        """Measure the next samples."""
        if len(mono) == 0:
            return
        self._num_samples += len(mono)
        self._sum += float(mono.sum(dtype=np.float64))
        self._squares += float(np.square(mono, dtype=np.float64).sum())
        if self._start is None:
            self._beginning = np.concatenate([self._beginning, mono])
            if len(self._beginning) >= self._rate_hz:
                self._begin()
        else:
            self._measure_low(self._low.push((mono - self._start).astype(np.float32)[None]))

    def finish(self) -> None:
        """End the sound."""
        if self._start is None and len(self._beginning):
            self._begin()
        self._measure_low(self._low.finish())

    def _begin(self) -> None:
        """Take the mean of the first second, most of an offset, for zero, lest it make a step at the beginning."""
        self._start = np.float32(self._beginning[: self._rate_hz].mean())
        self._measure_low(self._low.push((self._beginning - self._start).astype(np.float32)[None]))
        self._beginning = self._beginning[:0]

    @property
    def has_rumble(self) -> bool:
        """Whether the power below 20 Hz is large beside the power above; after `finish`."""
        rumble = self._rumble_power
        long_enough = self._num_samples >= _SHORTEST_RUMBLE_SECONDS * self._rate_hz
        return long_enough and rumble > max(SILENCE, _RUMBLE_SHARE * (self._variance - rumble))

    @property
    def level_db(self) -> float:
        """RMS in dBFS without the mean, and without rumble where there is much; −inf for silence; after `finish`."""
        if self._num_samples < self._rate_hz / LOWEST_HZ:
            return level_from_sums(self._num_samples, 0.0, self._squares)
        power = self._variance - self._rumble_power * self.has_rumble
        taken_out = self._squares / self._num_samples - power
        return level_from_sums(1, 0.0, power) if power > _NOTHING_SHARE * taken_out else -math.inf

    @property
    def _variance(self) -> float:
        return self._squares / self._num_samples - (self._sum / self._num_samples) ** 2

    @property
    def _rumble_power(self) -> float:
        if self._num_low == 0:
            return 0.0
        return self._low_squares / self._num_low - (self._low_sum / self._num_low) ** 2

    def _measure_low(self, low: Float[np.ndarray, "1 n"]) -> None:
        self._num_low += low.shape[1]
        self._low_sum += float(low.sum(dtype=np.float64))
        self._low_squares += float(np.square(low, dtype=np.float64).sum())


def heard_blocks(
    blocks: Iterable[Float32[np.ndarray, "C n"]], unheard: Unheard, sample_rate_hz: int
) -> Iterator[tuple[Float32[np.ndarray, "C m"], Float32[np.ndarray, "C m"]]]:
    """Yield the samples of a sound, in blocks, each with what is heard of it."""
    if not unheard.has_rumble:
        for block in blocks:
            yield block, block - unheard.offsets[:, None] if unheard else block
        return
    offsets = unheard.offsets[:, None]
    waiting: np.ndarray | None = None
    for block, rumble in _with_rumble(blocks, offsets, sample_rate_hz):
        waiting = block if waiting is None else np.concatenate([waiting, block], axis=1)
        ready, waiting = waiting[:, : rumble.shape[1]], waiting[:, rumble.shape[1] :]
        if ready.shape[1]:
            yield ready, ready - offsets - rumble[:, : ready.shape[1]]


def heard(sound: Float[np.ndarray, "S"], sample_rate_hz: int) -> tuple[Float32[np.ndarray, "S"], float]:
    """Return what is heard of a mono sound in memory, and its level in dBFS (−inf for silence)."""
    samples = np.asarray(sound, np.float32)
    offset_meter, meter = OffsetMeter(sample_rate_hz, 1), HeardMeter(sample_rate_hz)
    offset_meter.update(samples[None])
    meter.update(samples)
    meter.finish()
    unheard = Unheard(offset_meter.offsets, meter.has_rumble)
    if unheard:
        samples = np.concatenate([part[0] for _, part in heard_blocks([samples[None]], unheard, sample_rate_hz)])
    return samples, meter.level_db


def _with_rumble(
    blocks: Iterable[Float32[np.ndarray, "C n"]], offsets: Float32[np.ndarray, "C 1"], sample_rate_hz: int
) -> Iterator[tuple[Float32[np.ndarray, "C n"], Float32[np.ndarray, "C m"]]]:
    """Yield each block, and the next samples of what lies below 20 Hz in the sound; the latter come later.

    To 40 Hz and back is a low-pass without delay.
    """
    edge = round(_EDGE_SECONDS * sample_rate_hz)
    low_hz = round(2 * LOWEST_HZ)
    down: StreamedResampler | None = None
    first = last = np.zeros((len(offsets), 0), np.float32)
    surplus = 0

    def rumble(part: np.ndarray, *, is_last: bool = False) -> np.ndarray:
        """The next samples below 20 Hz, without those before the beginning of the sound."""
        nonlocal surplus
        assert down is not None
        low = [up.push(down.push(part))]
        if is_last:
            low += [up.push(down.finish()), up.finish()]
        found = np.concatenate(low, axis=1)
        dropped = min(surplus, found.shape[1])
        surplus -= dropped
        return found[:, dropped:]

    for block in blocks:
        if down is None:
            first = np.concatenate([first, block - offsets], axis=1)
            last = first
            if first.shape[1] <= edge:
                yield block, first[:, :0]
                continue
            layout = {"num_channels": len(offsets), "name": "the sound"}
            down = StreamedResampler(from_hz=sample_rate_hz, to_hz=low_hz, **layout)  # type: ignore[arg-type]
            up = StreamedResampler(from_hz=low_hz, to_hz=sample_rate_hz, **layout)  # type: ignore[arg-type]
            surplus = edge
            yield block, rumble(np.concatenate([2 * first[:, :1] - first[:, edge:0:-1], first], axis=1))
            continue
        last = np.concatenate([last, block - offsets], axis=1)[:, -edge - 1 :]
        yield block, rumble(block - offsets)
    assert down is not None, "a sound shorter than its edges has no rumble"
    tail = 2 * last[:, -1:] - last[:, -2 : -edge - 2 : -1]
    yield first[:, :0], rumble(tail, is_last=True)
