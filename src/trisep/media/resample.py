"""Sound at another sampling rate, block by block (soxr, HQ)."""

from collections.abc import Iterator

import numpy as np
import soxr
from jaxtyping import Float32

from trisep.errors import MediaError


def resampled_blocks(
    blocks: Iterator[Float32[np.ndarray, "C n"]], *, from_hz: int, to_hz: int, num_channels: int, name: str
) -> Iterator[Float32[np.ndarray, "C n"]]:
    """Bring blocks to another rate without seams; the length becomes the ratio of the rates, to within one sample.

    Raises MediaError, which begins with `name`, for rates too far apart.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    try:
        resampler = soxr.ResampleStream(from_hz, to_hz, num_channels, dtype="float32")
    except (ValueError, RuntimeError) as error:
        raise MediaError(
            f"{name}: cannot resample from {from_hz} Hz to {to_hz} Hz; convert the sound to a usual rate first"
        ) from error
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block.T)).T
    yield resampler.resample_chunk(np.zeros((0, num_channels), np.float32), last=True).T
