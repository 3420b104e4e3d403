"""One media file, or a stretch of one → clips, or the reason why it gives none.

It keeps one segment in memory, and writes nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from trisep.errors import ConfigError, MediaError
from trisep.media.audio import stream_audio
from trisep.media.heard import heard
from trisep.media.image import encode_jpeg
from trisep.media.level import level_db
from trisep.media.probe import MediaInfo, probe
from trisep.media.video import read_frames, stream_frames
from trisep.store.layout import SkippedInput
from trisep.store.write import ClipContent

REASONS = ("no sound", "no picture", "too short", "silent", "broken", "duplicate", "excluded")
"""Why a file, or a stretch of it, gives no clip; "broken" is everything that cannot be read or decoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSettings:
    """What a clip is: everything that decides the content of a store, and nothing else."""

    sample_rate_hz: int = 16000
    """Sample rate of the stored sound, which is mono."""
    frames_per_second: float = 1.0
    """How many frames are kept per second; the first is at the clip's start."""
    short_side: int = 224
    """Length of the shorter side of a kept frame, in pixels; the aspect ratio does not change."""
    jpeg_quality: int = 90
    """JPEG quality of the frames, 1 to 100."""
    min_seconds: float = 1.0
    """Shorter sounds, and shorter ends of long ones, are skipped."""
    max_seconds: float | None = None
    """Only this many seconds of each file are used, from its start; None uses all."""
    segment_seconds: float = 60.0
    """Longer files are cut into clips of this length, which bounds memory."""
    silence_db: float = -60.0
    """Stretches whose RMS is below this many dBFS are skipped."""
    audio_only_ok: bool = False
    """Keep sound without a picture, for stores of off-screen noise."""

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range."""
        _require(1000 <= self.sample_rate_hz <= 192000, "sample_rate_hz", "1000 to 192000", self.sample_rate_hz)
        _require(0.01 <= self.frames_per_second <= 60.0, "frames_per_second", "0.01 to 60", self.frames_per_second)
        _require(16 <= self.short_side <= 2160, "short_side", "16 to 2160", self.short_side)
        _require(1 <= self.jpeg_quality <= 100, "jpeg_quality", "1 to 100", self.jpeg_quality)
        _require(1.0 <= self.segment_seconds <= 3600.0, "segment_seconds", "1 to 3600", self.segment_seconds)
        _require(
            0.0 < self.min_seconds <= self.segment_seconds,
            "min_seconds",
            "above 0, at most segment_seconds",
            self.min_seconds,
        )
        enough = self.max_seconds is None or self.min_seconds <= self.max_seconds < math.inf
        _require(enough, "max_seconds", "at least min_seconds and finite", self.max_seconds)
        _require(-200.0 <= self.silence_db <= 0.0, "silence_db", "-200 to 0", self.silence_db)


def ingest_file(
    path: Path,
    *,
    source: str,
    sha256: str,
    number: int,
    settings: ClipSettings,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> Iterator[ClipContent | SkippedInput]:
    """Yield the clips of one file in order of time, and a `SkippedInput` for the file or each segment that gives none.

    `number` is the input's place in the list of inputs; the keys of the clips are made of it, the segment's number and
    the hash. With a start, only the stretch from it to the end (None: the end of the file) is used, and everything that
    is skipped carries its place in the file. Nothing is raised for a faulty file.
    """
    try:
        info = probe(path)
        if not info.audio:
            yield SkippedInput(
                source=source, reason="no sound", detail="the file has no sound", start_seconds=start_seconds
            )
        elif not info.video and not settings.audio_only_ok:
            yield SkippedInput(
                source=source, reason="no picture", detail="the file has no picture", start_seconds=start_seconds
            )
        else:
            clips = _Stretch(info, start_seconds, end_seconds, settings)
            yield from _clips(clips, source, sha256, number, settings)
    except MediaError as error:
        detail = str(error).replace(f"{path}: ", "")
        yield SkippedInput(source=source, reason="broken", detail=detail, start_seconds=start_seconds)
    # One file must never stop a run over many: whatever a decoder raises is counted and named, not raised again.
    except Exception as error:
        yield SkippedInput(
            source=source, reason="broken", detail=f"{type(error).__name__}: {error}", start_seconds=start_seconds
        )


class _Stretch:
    """The part of a file that is used, and how it is read.

    Sound and frames are read side by side, segment by segment, and each is decoded once.
    """

    def __init__(
        self, info: MediaInfo, start_seconds: float | None, end_seconds: float | None, settings: ClipSettings
    ) -> None:
        self.listed_start_seconds = start_seconds
        self.begin_seconds = start_seconds or 0.0
        limits = (settings.max_seconds, None if end_seconds is None else end_seconds - self.begin_seconds)
        self._max_seconds = min((limit for limit in limits if limit is not None), default=None)
        self._path = info.path
        self._settings = settings
        self._frames = _FrameReader(info, self.begin_seconds, settings) if info.video else None

    def segments(self) -> Iterator[tuple[int, Float32[np.ndarray, "S"]]]:
        """Yield, for each segment, its first sample, from the start of the stretch, and what is heard of its sound."""
        num_samples = round(self._settings.segment_seconds * self._settings.sample_rate_hz)
        blocks = stream_audio(
            self._path,
            sample_rate_hz=self._settings.sample_rate_hz,
            mono=True,
            start_seconds=self.begin_seconds,
            duration_seconds=self._max_seconds,
            block_samples=num_samples,
        )
        rate = self._settings.sample_rate_hz
        yield from ((number * num_samples, heard(block[0], rate)[0]) for number, block in enumerate(blocks))

    def frames(self, start_seconds: float, end_seconds: float) -> tuple[tuple[float, ...], tuple[bytes, ...]]:
        """Return the frames from `start_seconds` up to `end_seconds`, both in seconds of the file.

        The result is the times, counted from `start_seconds`, and the JPEG files.
        """
        return self._frames.read_until(start_seconds, end_seconds) if self._frames else ((), ())


def _clips(
    stretch: _Stretch, source: str, sha256: str, number: int, settings: ClipSettings
) -> Iterator[ClipContent | SkippedInput]:
    """Yield each segment as a clip, or the reason why it is none."""
    rate = settings.sample_rate_hz
    segment = -1
    for segment, (first_sample, waveform) in enumerate(stretch.segments()):
        start_seconds = stretch.begin_seconds + first_sample / rate
        times, images = stretch.frames(start_seconds, stretch.begin_seconds + (first_sample + len(waveform)) / rate)
        reason, detail = _unusable(waveform, len(images), settings)
        if reason:
            place = start_seconds if segment else stretch.listed_start_seconds
            yield SkippedInput(source=source, reason=reason, detail=detail, start_seconds=place)
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
        detail = "the sound has no samples"
        yield SkippedInput(source=source, reason="too short", detail=detail, start_seconds=stretch.listed_start_seconds)


def _unusable(waveform: Float32[np.ndarray, "S"], num_frames: int, settings: ClipSettings) -> tuple[str, str]:
    """Return reason and detail why a segment is no clip, or two empty strings when it is one."""
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


def _frames_from(
    info: MediaInfo, start_seconds: float, settings: ClipSettings
) -> Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]]:
    """Yield the frames from a moment on, each with the moment of the regular grid that it is nearest to.

    It does not end where the file declares no duration.
    """
    end_seconds = info.video[0].duration_seconds
    for number in count():
        time_seconds = start_seconds + number / settings.frames_per_second
        if end_seconds is not None and time_seconds >= end_seconds:
            return
        yield time_seconds, read_frames(info.path, [time_seconds], short_side=settings.short_side)[0]


class _FrameReader:
    """A reader that returns a file's frames segment by segment and decodes each of them once."""

    def __init__(self, info: MediaInfo, start_seconds: float, settings: ClipSettings) -> None:
        # In the middle of a recording, the reader seeks each frame, since decoding all that comes before would take
        # longer than the stretch itself.
        if start_seconds:
            self._frames = _frames_from(info, start_seconds, settings)
        else:
            self._frames = stream_frames(info.path, fps=settings.frames_per_second, short_side=settings.short_side)
        self._waiting = next(self._frames, None)
        self._quality = settings.jpeg_quality

    def read_until(self, start_seconds: float, end_seconds: float) -> tuple[tuple[float, ...], tuple[bytes, ...]]:
        """Return times, counted from `start_seconds`, and JPEG files of the frames up to `end_seconds`.

        Frames before `start_seconds` that are left over are dropped.
        """
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
