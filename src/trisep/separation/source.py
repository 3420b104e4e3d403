"""The sound that is separated: a file or samples, or a section of them, read several times, block by block.

This file knows no model and no query.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from trisep.errors import MediaError, TrisepError
from trisep.media.audio import read_audio, resampled_blocks, stream_audio
from trisep.media.level import level_from_sums
from trisep.types import Audio

_BLOCK_SAMPLES = 1 << 16
STANDARD_INPUT = "standard input"
"""What messages and reports call it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Sound that can be read several times, block by block."""

    sample_rate_hz: int
    num_channels: int
    blocks: Callable[[], Iterator[Float32[np.ndarray, "C n"]]]
    path: Path | None = None
    title: str | None = None
    """What reports call it; None is its path."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first pass over a source finds."""

    num_samples: int
    """Per channel, as decoded."""
    num_mono_samples: int
    """Of the mono downmix at the rate of the model."""
    level_db: float
    """RMS in dBFS of the mono downmix at the model's rate, its mean removed; −inf for silence."""


def open_source(
    source: Path | str | Audio | Source,
    *,
    stream: int = 0,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    allow_truncated: bool = False,
) -> Source:
    """A file or a sound in memory, or a section of it, as a `Source`.

    MediaError where it holds no sound, or values that are not finite numbers.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, Audio):
        samples = np.asarray(source.samples, dtype=np.float32)
        if samples.ndim != 2 or samples.size == 0:
            raise MediaError(
                f"the sound in memory is empty or not [channels, samples], but {list(samples.shape)}; give at least "
                "one sample"
            )
        if not np.isfinite(samples).all():
            raise MediaError(
                "the sound in memory holds values that are not finite numbers (NaN or infinity); remove them first"
            )
        begin = round(start_seconds * source.sample_rate_hz)
        length = None if duration_seconds is None else round(duration_seconds * source.sample_rate_hz)
        samples = samples[:, begin : None if length is None else begin + length]
        if samples.shape[1] == 0:
            raise MediaError(f"the sound in memory ends before {start_seconds:g} s; begin earlier")
        starts = range(0, samples.shape[1], _BLOCK_SAMPLES)
        return Source(
            source.sample_rate_hz, samples.shape[0], lambda: (samples[:, at : at + _BLOCK_SAMPLES] for at in starts)
        )
    path = Path(source)
    section: dict[str, Any] = {"stream": stream, "start_seconds": start_seconds, "allow_truncated": allow_truncated}
    head = read_audio(path, stream=stream, duration_seconds=0.0)
    if start_seconds and next(stream_audio(path, duration_seconds=0.1, **section), None) is None:
        raise MediaError(f"{path}: ends before {start_seconds:g} s; begin earlier")
    return Source(
        head.sample_rate_hz,
        head.num_channels,
        lambda: stream_audio(path, duration_seconds=duration_seconds, block_samples=_BLOCK_SAMPLES, **section),
        path,
    )


@contextmanager
def standard_input(**section: Any) -> Iterator[Source]:
    """Keep standard input in a temporary file, and yield the `open_source` of that as "standard input".

    Errors of the body that name the file name standard input. Raises MediaError where nothing comes.
    """
    with tempfile.TemporaryDirectory(prefix="trisep-stdin-") as folder:
        path = Path(folder) / "input"
        try:
            with path.open("xb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            yield replace(open_source(path, **section), title=STANDARD_INPUT)
        except OSError as error:
            raise MediaError(
                f"{STANDARD_INPUT}: cannot be kept in {tempfile.gettempdir()} ({error.strerror}); free some space there"
            ) from error
        except TrisepError as error:
            raise type(error)(str(error).replace(str(path), STANDARD_INPUT)) from error


def mono_section(source: Source, sample_rate_hz: int, *, begin: float, end: float) -> Float32[np.ndarray, "S"]:
    """The mono downmix of a span of a source, in seconds, at another rate; shorter where the source ends."""
    first, last = round(begin * source.sample_rate_hz), round(end * source.sample_rate_hz)

    def blocks() -> Iterator[Float32[np.ndarray, "C n"]]:
        """The blocks as far as they lie in the span."""
        at = 0
        for block in source.blocks():
            if at + block.shape[1] > first:
                yield block[:, max(0, first - at) : last - at]
            at += block.shape[1]
            if at >= last:
                return

    parts = list(mono_blocks(blocks(), source.sample_rate_hz, sample_rate_hz))
    return np.concatenate([np.zeros(0, np.float32), *parts])


def survey(source: Source, sample_rate_hz: int) -> Survey:
    """Read everything once: how long, how loud at the model's rate, and whether it can be read to its end (else
    MediaError).

    The mean is taken out of the level, so that a DC offset does not count as sound.
    """
    num_samples, num_mono, total, squares = 0, 0, 0.0, 0.0

    def counted() -> Iterator[Float32[np.ndarray, "C n"]]:
        """The blocks, their samples counted on the way."""
        nonlocal num_samples
        for block in source.blocks():
            num_samples += block.shape[1]
            yield block

    for mono in mono_blocks(counted(), source.sample_rate_hz, sample_rate_hz):
        num_mono += len(mono)
        total += float(mono.sum(dtype=np.float64))
        squares += float(np.square(mono, dtype=np.float64).sum())
    return Survey(num_samples, num_mono, level_from_sums(num_mono, total, squares))


def mono_blocks(
    blocks: Iterator[Float32[np.ndarray, "C n"]], from_hz: int, to_hz: int
) -> Iterator[Float32[np.ndarray, "n"]]:
    """The mean of all channels at another rate, as `stream_audio(mono=True)` gives it."""
    means = (block.mean(axis=0, keepdims=True) for block in blocks)
    for block in resampled_blocks(means, from_hz=from_hz, to_hz=to_hz, num_channels=1, name="the sound"):
        yield block[0]
