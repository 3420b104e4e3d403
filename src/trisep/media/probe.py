"""What a media file holds: streams, rates, sizes and durations. Every media file is opened for reading here.

Time zero of a file that has a picture is the earliest start among its audio and video streams, so that sound and frames
share one clock. Time zero of a file of sound alone is its first sample. Cover art in a sound file is not a video
stream. This file decodes nothing but a first frame.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition

from trisep.errors import MediaError
from trisep.media.bounds import PIXEL_ASPECTS, limit_ffmpeg, require_picture, require_rate
from trisep.media.wav_header import declared_rate_hz

# Playlists, which only point at other files, and text: such files hold no sound or video themselves.
_REFUSED_FORMATS = frozenset(
    {"concat", "hls", "dash", "tty", "srt", "ass", "webvtt", "ffmetadata", "imf", "sdp", "rtsp"}
)

limit_ffmpeg()


@dataclass(frozen=True, slots=True)
class AudioStream:
    """One audio stream."""

    index: int
    """Position among the audio streams of the file: the value that `stream_audio(stream=…)` takes."""
    sample_rate_hz: int
    num_channels: int
    duration_seconds: float | None
    """The duration that the container declares; None when it declares none."""


@dataclass(frozen=True, slots=True)
class VideoStream:
    """One video stream; cover art is not counted."""

    index: int
    """Position among the video streams of the file, cover art left out."""
    width: int
    """Width in pixels of the display: after stretching pixels that are not square, and rotation."""
    height: int
    """Height in pixels of the display."""
    fps: float | None
    """Average frames per second; None when unknown."""
    rotation_degrees: int
    """Clockwise turn that the file declares: 0, 90, 180 or 270. The frames that trisep hands out are already turned."""
    duration_seconds: float | None
    """The duration that the container declares; None when it declares none."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """The result of `probe`."""

    path: Path
    duration_seconds: float
    """The duration that the container declares; where it declares none, the end of the last packet."""
    container_format: str
    """FFmpeg's name of the container, such as "mov,mp4,m4a,3gp,3g2,mj2"."""
    audio: tuple[AudioStream, ...]
    video: tuple[VideoStream, ...]


def probe(path: Path) -> MediaInfo:
    """Read the headers of a media file (and its first frame, for the rotation).

    Raises MediaError when the file is missing, a folder, empty, unreadable, or not sound or video.
    """
    path = Path(path)
    with open_media(path) as container:
        audio = tuple(
            AudioStream(
                index,
                stream.codec_context.sample_rate,
                stream.codec_context.layout.nb_channels,
                declared_seconds(stream),
            )
            for index, stream in enumerate(container.streams.audio)
            if stream.codec_context is not None and stream.codec_context.sample_rate
        )
        pictures = [(stream, first_frame(container, stream)) for stream in picture_streams(container)]
        # The one that is shown comes first.
        pictures.sort(key=lambda picture: picture[1] is None)
        video = tuple(_video_stream(index, stream, frame) for index, (stream, frame) in enumerate(pictures))
        duration_seconds = container.duration / av.time_base if container.duration is not None else None
        name = container.format.name
    return MediaInfo(
        path, _last_packet_seconds(path) if duration_seconds is None else duration_seconds, name, audio, video
    )


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file for reading; FFmpeg's errors inside the body become MediaError, one line that names the file.

    Only local files are read: a playlist or any other file that points elsewhere is refused.
    """
    path = Path(path)
    check_readable(path)
    try:
        # Before FFmpeg looks for a codec in millions of packets of one byte, whose rate the header declares as 1.
        require_rate(path, declared_rate_hz(path) or 0)
        # The absolute name keeps FFmpeg from reading "take 2: bridge.wav" as an address with a protocol.
        container = av.open(
            os.path.abspath(path), container_options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except (FFmpegError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with container:
        names = set(container.format.name.split(","))
        if names & _REFUSED_FORMATS or not (container.streams.audio or container.streams.video):
            raise MediaError(
                f"{path}: holds neither sound nor video (it looks like '{container.format.name}'); give a sound or "
                "video file"
            )
        try:
            yield container
        except FFmpegError as error:
            raise _unreadable(path, error) from error


def is_media(path: Path) -> bool:
    """Tell whether a file can be opened as sound or video, whatever its name."""
    try:
        with open_media(path):
            return True
    except MediaError:
        return False


def check_readable(path: Path) -> None:
    """Raise MediaError unless `path` is a regular file with something in it that may be read."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
            # A path has lost one of the two slashes.
            address = re.sub("^([^:]+):/(?!/)", r"\1://", str(path))
            raise MediaError(f"{address}: is an address, and only files are read; download it first") from error
        remedy = "only INPUT of `trisep separate` may be standard input; save it to a file first"
        raise MediaError(f"{path}: no such file; {remedy if str(path) == '-' else 'check the name'}") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"{path}: is a folder where a file was expected; name a file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{path}: is not a regular file; save it to disk first")
    if status.st_size == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); copy or record it again")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: may not be read (permission denied); change its permissions")


def picture_streams(container: InputContainer) -> list[Any]:
    """List the video streams of a known codec, the default ones first, without cover art and thumbnails."""
    unwanted = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & unwanted and stream.codec_context is not None
    ]
    return sorted(streams, key=lambda stream: not stream.disposition & Disposition.default)


def shown_stream(container: InputContainer) -> Any | None:
    """Return the video stream that is read: the first of `picture_streams` that can be decoded; None without any."""
    streams = picture_streams(container)
    if len(streams) < 2:
        return next(iter(streams), None)
    shown = next((stream for stream in streams if first_frame(container, stream) is not None), streams[0])
    container.seek(0)
    return shown


def first_frame(container: InputContainer, stream: Any) -> Any | None:
    """Decode the first frame of a video stream; None when none does. MediaError for one that is too large."""
    require_picture(Path(container.name), stream.codec_context.width, stream.codec_context.height)
    try:
        container.seek(0)
        return next(container.decode(stream), None)
    except FFmpegError:
        return None


def display_size(height: int, width: int, pixel_aspect: Fraction | float | None) -> tuple[int, int]:
    """Return (height, width) of a picture, not yet turned, with square pixels: the width is stretched."""
    low, high = PIXEL_ASPECTS
    aspect = float(pixel_aspect or 1)
    return height, max(1, round(width * aspect)) if low <= aspect <= high else width


def timeline_start_seconds(container: InputContainer) -> float:
    """Find the earliest declared start among the audio and video streams: time zero of a file with a picture."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in (*container.streams.audio, *picture_streams(container))
        if stream.start_time is not None
    ]
    return min(starts, default=0.0)


def declared_seconds(stream: Any) -> float | None:
    """Return the length in seconds that the container declares for one stream, or None."""
    if stream.duration is not None and stream.time_base is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    end_seconds = tagged_end_seconds(stream)
    start_seconds = float(stream.start_time * stream.time_base) if stream.start_time is not None else 0.0
    return None if end_seconds is None else max(0.0, end_seconds - start_seconds)


def tagged_end_seconds(stream: Any) -> float | None:
    """Read Matroska's DURATION tag, "hh:mm:ss.nnn": the time stamp at which the stream ends; None without one."""
    parts = str(stream.metadata.get("DURATION", "")).split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600.0 + minutes * 60.0 + seconds


def _video_stream(index: int, stream: Any, frame: Any | None) -> VideoStream:
    """Describe one video stream by what is declared and by its first frame."""
    context = stream.codec_context
    height, width = display_size(context.height, context.width, stream.sample_aspect_ratio)
    rotation_degrees = clockwise_degrees(frame.rotation) if frame is not None else 0
    if rotation_degrees % 180:
        width, height = height, width
    rate = stream.average_rate or stream.guessed_rate
    return VideoStream(index, width, height, float(rate) if rate else None, rotation_degrees, declared_seconds(stream))


def clockwise_degrees(counterclockwise_degrees: float) -> int:
    """Convert FFmpeg's rotation (counterclockwise, −180 to 180) to a clockwise quarter turn: 0, 90, 180 or 270."""
    return round(-counterclockwise_degrees / 90.0) % 4 * 90


def _last_packet_seconds(path: Path) -> float:
    """Find the end of the last audio or video packet.

    It is used for files without any declared duration, such as the recordings of browsers.
    """
    end = 0.0
    with open_media(path) as container:
        start = timeline_start_seconds(container)
        for packet in container.demux(*container.streams.audio, *picture_streams(container)):
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - start)
    return end


def _unreadable(path: Path, error: Exception) -> MediaError:
    """Build the one-line error for a file that cannot be opened or decoded."""
    if isinstance(error, PermissionError):
        return MediaError(f"{path}: may not be read (permission denied); change its permissions")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return MediaError(
        f"{path}: cannot be read as sound or video ({reason}); it is damaged, cut off or not a media file: "
        "check that it plays, or convert it"
    )
