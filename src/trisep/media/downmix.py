"""Several channels → one, without loss of what the channels cancel in their mean.

The downmix is the mean of the channels. Where that leaves less than a tenth of what unrelated channels would leave, as
in a stereo sound of which one channel was wired the wrong way round, the channels that run against the others are
turned round first, so that their energy adds up. It is decided for every second. This file knows no files.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Float32

_BLOCK_SECONDS = 1.0
_LEAST_SECONDS = 0.25
"""A shorter rest is too short to tell, and is mixed down as what comes before it."""
_CANCELLED_SHARE = 0.1
_FADE_SAMPLES = 1024
"""The signs of the channels change over so many samples, lest they click."""


class Downmix:
    """Mixes blocks of about a second down, one after the other."""

    def __init__(self, sample_rate_hz: int, num_channels: int) -> None:
        """Start with the mean."""
        self._mean = np.full(num_channels, 1 / num_channels, np.float32)
        self._weights = self._mean
        self._least_samples = _LEAST_SECONDS * sample_rate_hz
        self._is_first = True

    def push(self, block: Float[np.ndarray, "C n"]) -> Float32[np.ndarray, "n"]:
        """Mix the next block down."""
        before = self._weights
        if self._is_first or block.shape[1] >= self._least_samples:
            self._weights = self._weights_for(block)
        mono = _weighted(block, self._weights)
        if not self._is_first and not np.array_equal(before, self._weights):
            length = min(_FADE_SAMPLES, block.shape[1])
            ramp = (np.arange(length, dtype=np.float32) + 1) / (length + 1)
            mono[:length] = ramp * mono[:length] + (1 - ramp) * _weighted(block[:, :length], before)
        self._is_first = False
        return mono

    def _weights_for(self, block: Float[np.ndarray, "C n"]) -> Float32[np.ndarray, "C"]:
        """Return 1/C for every channel, negative for those that are turned round."""
        if block.shape[0] == 1 or block.shape[1] < 2:
            return self._weights
        beside = block - block.mean(axis=1, keepdims=True)
        powers = beside @ beside.T
        if not powers.any():
            return self._weights
        # The mean of channels that have nothing in common has 1/C² of the sum of their powers.
        if powers.sum() >= _CANCELLED_SHARE * np.trace(powers):
            return self._mean
        direction = np.linalg.eigh(powers)[1][:, -1]
        weights = np.where(direction * direction[np.abs(direction).argmax()] < 0, -self._mean, self._mean)
        return -weights if weights @ self._weights < 0 else weights


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


def _weighted(block: Float[np.ndarray, "C n"], weights: Float32[np.ndarray, "C"]) -> Float32[np.ndarray, "n"]:
    """Return the sum of the channels, each with its sign, over their number."""
    if (weights > 0).all():
        mean: np.ndarray = block.mean(axis=0, dtype=np.float32)
        return mean
    signed: np.ndarray = (block * np.sign(weights)[:, None]).mean(axis=0, dtype=np.float32)
    return signed
