"""Sound at another sampling rate, block by block (soxr, HQ)."""

from collections.abc import Iterator

import numpy as np
import soxr
from jaxtyping import Float32

from trisep.errors import MediaError


class StreamedResampler:
    """Takes blocks one by one and brings them to another rate without seams."""

    def __init__(self, *, from_hz: int, to_hz: int, num_channels: int, name: str) -> None:
        """Raise MediaError, which begins with `name`, for rates too far apart."""
        self._stream = None
        self._num_channels = num_channels
        if from_hz == to_hz:
            return
        try:
            self._stream = soxr.ResampleStream(from_hz, to_hz, num_channels, dtype="float32")
        except (ValueError, RuntimeError) as error:
            raise MediaError(
                f"{name}: cannot resample from {from_hz} Hz to {to_hz} Hz; convert the sound to a usual rate first"
            ) from error

    def push(self, block: Float32[np.ndarray, "C n"]) -> Float32[np.ndarray, "C m"]:
        """Append samples; returns those of the other rate that they complete."""
        if self._stream is None:
            return block
        resampled: np.ndarray = self._stream.resample_chunk(np.ascontiguousarray(block.T)).T
        return resampled

    def finish(self) -> Float32[np.ndarray, "C m"]:
        """End the sound and return the samples that remain."""
        rest = np.zeros((0, self._num_channels), np.float32)
        return rest.T if self._stream is None else self._stream.resample_chunk(rest, last=True).T


def resampled_blocks(
    blocks: Iterator[Float32[np.ndarray, "C n"]], *, from_hz: int, to_hz: int, num_channels: int, name: str
) -> Iterator[Float32[np.ndarray, "C n"]]:
    """Bring blocks to another rate without seams; the length becomes the ratio of the rates, to within one sample.

    Raises MediaError, which begins with `name`, for rates too far apart.
    """
    resampler = StreamedResampler(from_hz=from_hz, to_hz=to_hz, num_channels=num_channels, name=name)
    for block in blocks:
        yield resampler.push(block)
    if from_hz != to_hz:
        yield resampler.finish()
