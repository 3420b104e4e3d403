"""Sound out of any container that FFmpeg knows, as a stream of float32 blocks or as a whole.

Time zero. In a file of sound alone it is the first sample (encoder delay that the container declares is already
removed). In a file with a picture it is the earliest start among its streams: sound that starts later is preceded by
zeros, so it stays aligned with the frames of video.py. A hole in the time stamps longer than 0.1 s is filled with
zeros, one longer than ten minutes is an error; smaller jitter is ignored. Time stamps that jump back are ignored too:
samples keep their order.

This file knows no video frames. audio_writer.py writes.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.audio_decoder import AudioFacts, decoded_blocks, read_facts
from trisep.media.audio_writer import AudioSubtype, AudioWriter, write_audio
from trisep.media.downmix import downmixed, equal_blocks
from trisep.media.probe import open_media, timeline_start_seconds
from trisep.types import Audio


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


__all__ = [
    "AudioFacts",
    "AudioSubtype",
    "AudioWriter",
    "read_audio",
    "read_facts",
    "stream_audio",
    "time_zero_seconds",
    "write_audio",
]


def stream_audio(
    path: Path,
    *,
    sample_rate_hz: int | None = None,
    mono: bool = False,
    stream: int | None = None,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    block_samples: int = 65536,
    allow_truncated: bool = False,
) -> Iterator[Float32[np.ndarray, "C n"]]:
    """Decode sound block by block; the whole file is never in memory.

    Args:
        path: any file FFmpeg can read.
        sample_rate_hz: resample to this rate (soxr, HQ); None keeps the rate of the file. The length becomes the
            original one times the ratio of rates, to within one sample.
        mono: mix all channels down into one: their mean, the low-frequency channel of surround sound included, and
            where they cancel in it as in `downmix.py`.
        stream: index of the audio stream, from 0; None takes the default one, else the first that can be decoded.
        start_seconds: where to begin, exact to the sample; past the end nothing is yielded.
        duration_seconds: how much to read at most; None reads to the end.
        block_samples: n of every block but the last, at the output rate.
        allow_truncated: accept a file of which more than 1 % of the declared duration cannot be decoded (0.1
            s in short files).

    Yields:
        Blocks [C, n], float32 with full scale ±1 and nothing clipped, C as in the file or 1.

    Raises:
        MediaError: the file is unreadable, has no such stream, holds nothing that decodes, lacks more than 1 %, changes
            its sampling rate within the stream, or holds samples that are not finite. It is raised while iterating.
        ValueError: an argument is out of range. It is raised at once.
    """
    _check_arguments(sample_rate_hz, stream, start_seconds, duration_seconds, block_samples)

    def blocks() -> Iterator[Float32[np.ndarray, "C n"]]:
        """Yield blocks of sound [C, n]; the file is opened with the first."""
        facts = read_facts(Path(path), stream)
        start = round(start_seconds * facts.sample_rate_hz)
        stop = None if duration_seconds is None else start + round(duration_seconds * facts.sample_rate_hz)
        chunks = decoded_blocks(facts, start_samples=start, stop_samples=stop, allow_truncated=allow_truncated)
        num_channels, from_hz = 1 if mono else facts.num_channels, facts.sample_rate_hz
        if mono:
            chunks = downmixed(chunks, sample_rate_hz=from_hz, num_channels=facts.num_channels)
        rates = {"from_hz": from_hz, "to_hz": from_hz if sample_rate_hz is None else sample_rate_hz}
        chunks = resampled_blocks(chunks, **rates, num_channels=num_channels, name=str(facts.path))
        yield from equal_blocks(chunks, block_samples)

    return blocks()


def read_audio(
    path: Path,
    *,
    sample_rate_hz: int | None = None,
    mono: bool = False,
    stream: int | None = None,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    allow_truncated: bool = False,
) -> Audio:
    """Decode sound into memory, with the arguments and errors of `stream_audio`; past the end there are no samples."""
    blocks = list(
        stream_audio(
            path,
            sample_rate_hz=sample_rate_hz,
            mono=mono,
            stream=stream,
            start_seconds=start_seconds,
            duration_seconds=duration_seconds,
            allow_truncated=allow_truncated,
        )
    )
    if blocks and sample_rate_hz is not None:
        return Audio(np.concatenate(blocks, axis=1), sample_rate_hz)
    facts = read_facts(Path(path), stream)
    samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((1 if mono else facts.num_channels, 0), np.float32)
    return Audio(samples, sample_rate_hz or facts.sample_rate_hz)


def time_zero_seconds(path: Path, stream: int | None = None) -> float:
    """Return the time stamp, in the container, of what `stream_audio` yields first; MediaError for an unreadable file.

    A file without sound begins with its first picture.
    """
    with open_media(Path(path)) as container:
        if not container.streams.audio:
            return timeline_start_seconds(container)
    return read_facts(Path(path), stream).zero_seconds


def _check_arguments(
    sample_rate_hz: int | None,
    stream: int | None,
    start_seconds: float,
    duration_seconds: float | None,
    block_samples: int,
) -> None:
    """Raise ValueError for an argument that is out of range for every file."""
    if block_samples < 1 or start_seconds < 0 or (stream is not None and stream < 0):
        raise ValueError(
            f"block_samples must be positive, start_seconds and stream not negative: got {block_samples}, "
            f"{start_seconds}, {stream}"
        )
    if sample_rate_hz is not None and sample_rate_hz < 1:
        raise ValueError(f"sample_rate_hz must be positive, not {sample_rate_hz}")
    if duration_seconds is not None and duration_seconds < 0:
        raise ValueError(f"duration_seconds must not be negative, not {duration_seconds}")
