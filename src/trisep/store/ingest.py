"""One media file → clips, or the reason why not. It reads one file, keeps one stretch of it in memory, and writes nothing."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from trisep.errors import ConfigError, MediaError
from trisep.media.audio import stream_audio
from trisep.media.image import encode_jpeg
from trisep.media.probe import probe
from trisep.media.video import stream_frames
from trisep.store.layout import SkippedInput
from trisep.store.write import ClipContent

REASONS = ("no sound", "no picture", "too short", "silent", "broken", "duplicate", "excluded")
"""Why a file, or a stretch of it, becomes no clip. "broken" is everything that cannot be read or decoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSettings:
    """What a clip is: everything that decides the content of a store, and nothing else."""

    sample_rate_hz: int = 16000
    """Of the stored sound, which is mono."""
    frames_per_second: float = 1.0
    """How many frames are kept, the first at the clip's start."""
    short_side: int = 224
    """Pixels of the shorter side of a kept frame; the shape of the picture stays."""
    jpeg_quality: int = 90
    """1 to 100."""
    min_seconds: float = 1.0
    """Shorter sounds, and shorter ends of long ones, are skipped."""
    max_seconds: float | None = None
    """Only so much of each file is used, from its start; None uses all."""
    segment_seconds: float = 60.0
    """Longer files are cut into clips of this length, which bounds memory."""
    silence_db: float = -60.0
    """Stretches with an RMS below this many dBFS are skipped."""
    audio_only_ok: bool = False
    """Keep sound without a picture: for stores of off-screen noise."""

    def __post_init__(self) -> None:
        """Refuse numbers outside their range."""
        _require(1000 <= self.sample_rate_hz <= 192000, "sample_rate_hz", "1000 to 192000", self.sample_rate_hz)
        _require(0.01 <= self.frames_per_second <= 60.0, "frames_per_second", "0.01 to 60", self.frames_per_second)
        _require(16 <= self.short_side <= 2160, "short_side", "16 to 2160", self.short_side)
        _require(1 <= self.jpeg_quality <= 100, "jpeg_quality", "1 to 100", self.jpeg_quality)
        _require(1.0 <= self.segment_seconds <= 3600.0, "segment_seconds", "1 to 3600", self.segment_seconds)
        _require(0.0 < self.min_seconds <= self.segment_seconds, "min_seconds", "above 0, at most segment_seconds", self.min_seconds)
        _require(self.max_seconds is None or self.max_seconds >= self.min_seconds, "max_seconds", "at least min_seconds", self.max_seconds)
        _require(-200.0 <= self.silence_db <= 0.0, "silence_db", "-200 to 0", self.silence_db)


def ingest_file(path: Path, *, source: str, sha256: str, number: int, settings: ClipSettings) -> Iterator[ClipContent | SkippedInput]:
    """Yield the clips of one file in order of time, and a `SkippedInput` for the file or each stretch that became none.

    `number` is the file's place in the sorted list of inputs; with the stretch's number and the hash it makes the keys of the clips.
    It never raises for anything that is wrong with the file.
    """
    try:
        info = probe(path)
        if not info.audio:
            yield SkippedInput(source=source, reason="no sound", detail="the file has no sound")
        elif not info.video and not settings.audio_only_ok:
            yield SkippedInput(source=source, reason="no picture", detail="the file has no picture")
        else:
            yield from _clips(path, source, sha256, number, settings, has_picture=bool(info.video))
    except MediaError as error:
        yield SkippedInput(source=source, reason="broken", detail=str(error).replace(f"{path}: ", ""))
    # One file must never stop a run over many: whatever a decoder can throw is counted and named, not raised.
    except Exception as error:
        yield SkippedInput(source=source, reason="broken", detail=f"{type(error).__name__}: {error}")


def _clips(
    path: Path, source: str, sha256: str, number: int, settings: ClipSettings, *, has_picture: bool
) -> Iterator[ClipContent | SkippedInput]:
    """Sound and frames side by side, each decoded once, stretch by stretch."""
    rate = settings.sample_rate_hz
    segment_samples = round(settings.segment_seconds * rate)
    frames = _FrameReader(path, settings) if has_picture else None
    blocks = stream_audio(path, sample_rate_hz=rate, mono=True, duration_seconds=settings.max_seconds, block_samples=segment_samples)
    segment = -1
    for segment, block in enumerate(blocks):
        waveform = block[0]
        start_seconds, end_seconds = segment * segment_samples / rate, (segment * segment_samples + len(waveform)) / rate
        times, images = frames.read_until(start_seconds, end_seconds) if frames else ((), ())
        reason, detail = _unusable(waveform, len(images), settings)
        if reason:
            yield SkippedInput(source=source, reason=reason, detail=detail, start_seconds=start_seconds if segment else None)
            continue
        yield ClipContent(
            key=f"{number:07d}-{segment:04d}-{sha256[:8]}",
            source=source,
            source_sha256=sha256,
            start_seconds=start_seconds,
            sample_rate_hz=rate,
            waveform=waveform,
            rms_db=round(level_db(waveform), 4),
            peak=round(float(np.abs(waveform).max()), 6),
            frame_times_seconds=times,
            frames=images,
        )
    if segment < 0:
        yield SkippedInput(source=source, reason="too short", detail="the sound has no samples")


def level_db(waveform: Float32[np.ndarray, "S"]) -> float:
    """RMS in dBFS; −inf for digital silence."""
    mean_square = float(np.mean(np.square(waveform, dtype=np.float64)))
    return 10.0 * math.log10(mean_square) if mean_square > 0.0 else -math.inf


def _unusable(waveform: Float32[np.ndarray, "S"], num_frames: int, settings: ClipSettings) -> tuple[str, str]:
    """Reason and detail why a stretch is no clip, or two empty strings."""
    seconds = len(waveform) / settings.sample_rate_hz
    if seconds < settings.min_seconds:
        return "too short", f"{seconds:.2f} s of sound, at least {settings.min_seconds:g} s are needed"
    if not np.isfinite(waveform).all():
        return "broken", "the sound holds values that are not numbers"
    if (level := level_db(waveform)) < settings.silence_db:
        return "silent", f"{level:.1f} dBFS, at least {settings.silence_db:g} dBFS are needed"
    if num_frames == 0 and not settings.audio_only_ok:
        return "no picture", "the sound has no frame beside it"
    return "", ""


class _FrameReader:
    """Hands out a file's frames stretch by stretch while decoding them once."""

    def __init__(self, path: Path, settings: ClipSettings) -> None:
        self._frames = stream_frames(path, fps=settings.frames_per_second, short_side=settings.short_side)
        self._waiting = next(self._frames, None)
        self._quality = settings.jpeg_quality

    def read_until(self, start_seconds: float, end_seconds: float) -> tuple[tuple[float, ...], tuple[bytes, ...]]:
        """Times from `start_seconds` and JPEG files of the frames up to `end_seconds`; earlier ones that are left over are dropped."""
        times, images = [], []
        while self._waiting is not None and self._waiting[0] < end_seconds:
            time_seconds, frame = self._waiting
            if time_seconds >= start_seconds:
                times.append(round(time_seconds - start_seconds, 6))
                images.append(encode_jpeg(frame, quality=self._quality))
            self._waiting = next(self._frames, None)
        return tuple(times), tuple(images)


def _require(holds: bool, name: str, expected: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{name}: expected {expected}, got {value}")
