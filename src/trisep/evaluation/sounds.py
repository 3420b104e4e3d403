"""The sounds of a protocol's sources: they are read, cut, and brought to their level, without any model or query."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from trisep.media.audio import read_audio
from trisep.media.level import gain_to
from trisep.media.probe import probe
from trisep.protocols import ProtocolSource


def mix(
    sources: Sequence[ProtocolSource], level_db: float | None, sample_rate_hz: int, *, clip_samples: int | None = None
) -> Float[np.ndarray, "N S"]:
    """Return the sources as they are added to the mixture, all of one length.

    Each is at its level, or as recorded and divided by N, and is then changed by its own gain.

    Args:
        sources: the sources to read.
        level_db: RMS in dBFS of each source over its whole length; None divides by N instead.
        sample_rate_hz: the sample rate that they are converted to.
        clip_samples: length of a segment of each, with zeros after its end; None takes them whole, cut to the shortest.
    """
    if clip_samples is None:
        sounds = [read_clip(source, sample_rate_hz) for source in sources]
        length = min(map(len, sounds))
    else:
        sounds, length = [_segment(source, sample_rate_hz, clip_samples) for source in sources], clip_samples
    gains = [np.float32(1 / len(sounds)) if level_db is None else gain_to(sound, level_db) for sound in sounds]
    relative = [np.float32(10 ** (source.gain_db / 20)) for source in sources]
    return np.stack([sound[:length] * gain * own for sound, gain, own in zip(sounds, gains, relative, strict=True)])


def bounds_seconds(source: ProtocolSource, segment_seconds: float | None) -> tuple[float, float]:
    """Return where in its file the segment of a source begins and ends; None for the length means all of the clip.

    A clip that is shorter than the segment is taken whole.
    """
    end = probe(source.path).duration_seconds if source.end_seconds is None else source.end_seconds
    if segment_seconds is None:
        return source.start_seconds, end
    begin = source.start_seconds + source.start * max(0.0, end - source.start_seconds - segment_seconds)
    return begin, min(end, begin + segment_seconds)


def read_clip(source: ProtocolSource, rate_hz: int) -> Float[np.ndarray, "S"]:
    """Read the whole clip, mono."""
    start, end = source.start_seconds, source.end_seconds
    seconds = None if end is None else end - start
    audio = read_audio(source.path, sample_rate_hz=rate_hz, mono=True, start_seconds=start, duration_seconds=seconds)
    sound: Float[np.ndarray, S] = audio.samples[0]
    return sound


def _segment(source: ProtocolSource, rate_hz: int, num_samples: int) -> Float[np.ndarray, "S"]:
    """Read a segment of a clip, padded with zeros where the clip is shorter; nothing after its end is read."""
    begin, end = bounds_seconds(source, num_samples / rate_hz)
    file_rate_hz = read_audio(source.path, duration_seconds=0.0).sample_rate_hz
    # Where samples of the file are the longer ones, the segment may begin within one.
    first = round(begin * file_rate_hz) if file_rate_hz >= rate_hz else math.floor(begin * file_rate_hz)
    skipped = round((begin - first / file_rate_hz) * rate_hz)
    # Where the clip has it, a sample more is read than the segment needs, since rounding could lose one.
    stop = math.ceil((end + 1 / min(rate_hz, file_rate_hz)) * file_rate_hz)
    if source.end_seconds is not None:
        stop = min(stop, round(source.end_seconds * file_rate_hz))
    sound = read_audio(
        source.path,
        sample_rate_hz=rate_hz,
        mono=True,
        start_seconds=first / file_rate_hz,
        duration_seconds=(stop - first) / file_rate_hz,
    ).samples[0, skipped : skipped + num_samples]
    filled = np.zeros(num_samples, np.float32)
    filled[: len(sound)] = sound
    return filled
