"""The sound that is separated: a file or samples, or a section of them, read several times, block by block.

This file knows no model and no query.
"""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from trisep.errors import MediaError, TrisepError
from trisep.media.audio import read_facts, resampled_blocks, stream_audio
from trisep.media.bounds import HIGHEST_RATE_HZ, LEAST_BYTES_PER_SECOND, LOWEST_RATE_HZ
from trisep.media.downmix import downmixed
from trisep.media.heard import HeardMeter, OffsetMeter, Unheard
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
    sha256: Callable[[], str] | None = None
    """Hash of the rate and of all samples of a sound in memory, which has no path to be known by."""
    title: str | None = None
    """What reports call it; None is its path."""
    stream: int = 0
    """Which of the file's streams of sound it is."""
    layout: str | None = None
    """FFmpeg's name of where the channels are heard; None is the usual one."""
    notes: tuple[str, ...] = ()
    """Remarks a listener should know."""
    declared_samples: int = 0
    """About how many samples it has per channel; 0 where nothing tells before it is read."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first pass over a source finds."""

    num_samples: int
    """Per channel, as decoded."""
    num_mono_samples: int
    """Of the mono downmix at the rate of the model."""
    level_db: float
    """RMS in dBFS of what is heard of the mono downmix at the model's rate; −inf for silence."""
    is_silent: bool
    """Whether no channel holds anything but a constant."""
    unheard: Unheard
    """What of the source is not heard."""


def open_source(
    source: Path | str | Audio | Source,
    *,
    stream: int | None = None,
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
        return _in_memory(source, start_seconds, duration_seconds)
    path = Path(source)
    facts = read_facts(path, stream)
    section: dict[str, Any] = {
        "stream": facts.stream,
        "start_seconds": start_seconds,
        "allow_truncated": allow_truncated,
    }
    if start_seconds and next(stream_audio(path, duration_seconds=0.1, **section), None) is None:
        raise MediaError(f"{path}: ends before {start_seconds:g} s; begin earlier")
    notes: tuple[str, ...] = ()
    if stream is None and facts.num_streams > 1:
        notes += (f"of {facts.num_streams} streams of sound, number {facts.stream} is read; choose with --stream",)
    declared = max(
        0, (facts.declared_samples or facts.total_samples or 0) - round(start_seconds * facts.sample_rate_hz)
    )
    if duration_seconds is not None:
        declared = min(declared, round(duration_seconds * facts.sample_rate_hz))
    declared = min(declared, round(path.stat().st_size / LEAST_BYTES_PER_SECOND * facts.sample_rate_hz))
    return Source(
        facts.sample_rate_hz,
        facts.num_channels,
        lambda: stream_audio(path, duration_seconds=duration_seconds, block_samples=_BLOCK_SAMPLES, **section),
        path,
        stream=facts.stream,
        layout=facts.layout,
        notes=notes,
        declared_samples=declared,
    )


def _in_memory(sound: Audio, start_seconds: float, duration_seconds: float | None) -> Source:
    """A sound in memory, or a section of it."""
    samples = np.asarray(sound.samples, dtype=np.float32)
    if samples.ndim != 2 or samples.size == 0:
        raise MediaError(
            f"the sound in memory is empty or not [channels, samples], but {list(samples.shape)}; give at least "
            "one sample"
        )
    if not np.isfinite(samples).all():
        raise MediaError(
            "the sound in memory holds values that are not finite numbers (NaN or infinity); remove them first"
        )
    if not LOWEST_RATE_HZ <= sound.sample_rate_hz <= HIGHEST_RATE_HZ:
        raise MediaError(
            f"the sound in memory has {sound.sample_rate_hz} samples a second; expected from {LOWEST_RATE_HZ} to "
            f"{HIGHEST_RATE_HZ}"
        )

    @cache
    def sha256() -> str:
        """The hash of the whole sound: a section of it is of the same input."""
        header = f"{sound.sample_rate_hz} {sound.samples.shape[0]} "
        return hashlib.sha256(header.encode() + np.asarray(sound.samples, dtype="<f4").tobytes()).hexdigest()

    begin = round(start_seconds * sound.sample_rate_hz)
    length = None if duration_seconds is None else round(duration_seconds * sound.sample_rate_hz)
    samples = samples[:, begin : None if length is None else begin + length]
    if samples.shape[1] == 0:
        raise MediaError(f"the sound in memory ends before {start_seconds:g} s; begin earlier")
    starts = range(0, samples.shape[1], _BLOCK_SAMPLES)
    return Source(
        sound.sample_rate_hz,
        samples.shape[0],
        lambda: (samples[:, at : at + _BLOCK_SAMPLES] for at in starts),
        sha256=sha256,
        declared_samples=samples.shape[1],
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

    parts = mono_blocks(blocks(), source.sample_rate_hz, sample_rate_hz, num_channels=source.num_channels)
    return np.concatenate([np.zeros(0, np.float32), *parts])


def survey(source: Source, sample_rate_hz: int) -> Survey:
    """Read everything once: how long, how loud at the model's rate, what of it is not heard, and whether it can be read
    to its end and holds a sample (else MediaError).
    """
    num_samples, num_mono = 0, 0
    offsets, meter = OffsetMeter(source.sample_rate_hz, source.num_channels), HeardMeter(sample_rate_hz)

    def counted() -> Iterator[Float32[np.ndarray, "C n"]]:
        """The blocks, measured on the way."""
        nonlocal num_samples
        for block in source.blocks():
            num_samples += block.shape[1]
            offsets.update(block)
            yield block

    for mono in mono_blocks(counted(), source.sample_rate_hz, sample_rate_hz, num_channels=source.num_channels):
        num_mono += len(mono)
        meter.update(mono)
    meter.finish()
    if not num_samples:
        raise MediaError(
            f"{source.title or source.path or 'the sound'}: holds no sample; give a longer sound, or a longer section"
        )
    unheard = Unheard(offsets.offsets, meter.has_rumble)
    return Survey(num_samples, num_mono, meter.level_db, offsets.is_silent, unheard)


def mono_blocks(
    blocks: Iterable[Float32[np.ndarray, "C n"]], from_hz: int, to_hz: int, *, num_channels: int
) -> Iterator[Float32[np.ndarray, "n"]]:
    """The downmix of all channels at another rate, as `stream_audio(mono=True)` gives it."""
    mono = downmixed(blocks, sample_rate_hz=from_hz, num_channels=num_channels)
    for block in resampled_blocks(mono, from_hz=from_hz, to_hz=to_hz, num_channels=1, name="the sound"):
        yield block[0]
