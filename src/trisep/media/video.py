"""Frames out of any container that FFmpeg knows: upright, uint8 RGB, at given times.

Time zero is the earliest start among the streams of the file, as in audio.py. Frames come in the shape in which they
are shown: pixels that are not square are stretched in width, then the frame is turned. This file decodes no sound.
video_writer.py writes, and image.py reads pictures.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from jaxtyping import UInt8

from trisep.errors import MediaError
from trisep.media.bounds import LATEST_SECONDS, require_picture
from trisep.media.image import decode_jpeg, encode_jpeg, read_image, resize_short_side, short_side_size
from trisep.media.probe import clockwise_degrees, display_size, open_media, shown_stream, timeline_start_seconds
from trisep.media.video_writer import write_video

__all__ = [
    "decode_jpeg",
    "encode_jpeg",
    "read_frames",
    "read_image",
    "resize_short_side",
    "stream_frames",
    "write_video",
]

_WORTH_SEEKING_SECONDS = 0.5
"""Shortest way ahead that is worth a seek, which discards the state of the decoder; a shorter way is decoded."""
_BLIND_SEEK_SECONDS = 10.0
"""The same limit where the container has no index of key frames."""


def read_frames(
    path: Path, times_seconds: Sequence[float], *, short_side: int | None = None
) -> UInt8[np.ndarray, "K H W 3"]:
    """Read the frames nearest in time to K given times, in the order given; of two equally near frames, the earlier.

    Presentation times are used, so files with a variable frame rate are exact. Times before the first or after the last
    frame give that frame. Only the frames that are needed are decoded.

    Args:
        path: a file with a picture.
        times_seconds: times from zero, in any order, at least one.
        short_side: scale so that the shorter side has so many pixels; None keeps the size.

    Raises:
        MediaError: the file is unreadable, holds no picture, or no frame of it decodes.
        ValueError: there are no times, or one is not finite.
    """
    if len(times_seconds) == 0 or not np.isfinite(np.asarray(times_seconds, dtype=np.float64)).all():
        raise ValueError(f"times_seconds must hold at least one time, all finite, not {list(times_seconds)[:8]}")
    frames: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
    with open_media(Path(path)) as container:
        cursor = _Cursor(container, Path(path))
        last_frame, last_pixels = None, None
        for position in np.argsort(np.asarray(times_seconds, dtype=np.float64), kind="stable"):
            frame, _ = cursor.nearest(float(times_seconds[position]))
            if frame is not last_frame or last_pixels is None:
                last_frame, last_pixels = frame, cursor.pixels(frame, short_side)
            frames[int(position)] = last_pixels
    shape = frames[0].shape
    # The size of the frames can change within a file (a rare live recording); all get the size of the first one read.
    return np.stack([frame if frame.shape == shape else _resized(frame, shape) for _, frame in sorted(frames.items())])


def stream_frames(
    path: Path, *, fps: float, short_side: int | None = None
) -> Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]]:
    """Yield the frames at 0, 1/fps, 2/fps … seconds up to the end of the picture, each the nearest in time.

    One frame at a time is in memory.

    Args:
        path: a file with a picture.
        fps: frames per second to yield; above the frame rate of the file, frames repeat.
        short_side: as in `read_frames`.

    Yields:
        (presentation time of the frame in seconds, pixels). The time is that of the frame, which can
        differ from the grid.

    Raises:
        MediaError: as in `read_frames`, while iterating.
        ValueError: fps is not positive. It is raised at once.
    """
    if not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}")

    def frames() -> Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]]:
        """Yield (time in seconds, upright picture) for each moment."""
        with open_media(Path(path)) as container:
            cursor = _Cursor(container, Path(path))
            number = 0
            while True:
                frame, time_seconds = cursor.nearest(number / fps)
                if cursor.end_seconds is not None and number > 0 and number / fps >= cursor.end_seconds:
                    return
                yield time_seconds, cursor.pixels(frame, short_side)
                number += 1

    return frames()


class _Cursor:
    """Walks forwards through the frames of a file, and seeks where that is shorter."""

    def __init__(self, container: InputContainer, path: Path) -> None:
        stream = shown_stream(container)
        if stream is None:
            raise MediaError(f"{path}: holds no picture; give a video")
        require_picture(path, stream.codec_context.width, stream.codec_context.height)
        self._container = container
        self._path = path
        self._stream: Any = stream
        self._zero_seconds = timeline_start_seconds(container)
        self._frames = self._decoded()
        self._before: tuple[Any, float] | None = None
        self._after: tuple[Any, float] | None = None
        self.end_seconds: float | None = None
        """End of the last frame, once it has been reached."""

    def nearest(self, time_seconds: float) -> tuple[Any, float]:
        """Return the frame nearest to a time, and its own time; times must not decrease from call to call."""
        time_seconds = min(time_seconds, LATEST_SECONDS)
        if self._worth_seeking(time_seconds) and not self._seek(time_seconds):
            self._restart()
        while self.end_seconds is None and (self._after is None or self._after[1] < time_seconds):
            self._advance()
        candidates = [candidate for candidate in (self._before, self._after) if candidate is not None]
        if not candidates:
            raise MediaError(
                f"{self._path}: nothing of its picture can be decoded; the file is damaged or cut off: get a complete "
                "copy"
            )
        return min(candidates, key=lambda candidate: abs(candidate[1] - time_seconds))

    def pixels(self, frame: Any, short_side: int | None) -> UInt8[np.ndarray, "H W 3"]:
        """Return the pixels of a frame in display shape, scaled in its own format and then turned as declared."""
        size = display_size(frame.height, frame.width, self._stream.sample_aspect_ratio)
        require_picture(self._path, size[1], size[0])
        height, width = size if short_side is None else short_side_size(*size, short_side)
        pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC").to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, k=-clockwise_degrees(frame.rotation) // 90))

    def _advance(self) -> None:
        """Decode one more frame, or note that there is none."""
        following = next(self._frames, None)
        if following is None:
            last = self._after or self._before
            if last is None:
                self.end_seconds = 0.0
                return
            frame, time_seconds = last
            gap = time_seconds - self._before[1] if self._before is not None and self._after is not None else 0.0
            self.end_seconds = time_seconds + (float(frame.duration * frame.time_base) if frame.duration else gap)
            return
        if self._after is not None:
            self._before = self._after
        self._after = following

    def _worth_seeking(self, time_seconds: float) -> bool:
        """Decide whether a key frame lies well ahead of the current position and not after the time."""
        if self.end_seconds is not None:
            return False
        here = self._after[1] if self._after is not None else 0.0
        if time_seconds < here + _WORTH_SEEKING_SECONDS:
            return False
        entries = self._stream.index_entries
        found = entries.search_timestamp(self._timestamp(time_seconds)) if len(entries) else -1
        if found < 0:
            return time_seconds > here + _BLIND_SEEK_SECONDS
        return (
            float(entries[found].timestamp * self._stream.time_base) - self._zero_seconds
            > here + _WORTH_SEEKING_SECONDS
        )

    def _seek(self, time_seconds: float) -> bool:
        """Seek to the key frame before a time; false when the container cannot seek or overshoots."""
        try:
            self._container.seek(self._timestamp(time_seconds), stream=self._stream)
        except FFmpegError:
            return False
        self._frames, self._before, self._after = self._decoded(), None, None
        self._advance()
        return self._after is not None and self._after[1] <= time_seconds

    def _restart(self) -> None:
        """Go back to the beginning, for containers in which seeking fails."""
        self._container.seek(self._stream.start_time or 0, stream=self._stream)
        self._frames, self._before, self._after, self.end_seconds = self._decoded(), None, None, None

    def _timestamp(self, time_seconds: float) -> int:
        """Convert a time to the units of the stream."""
        return int((time_seconds + self._zero_seconds) / self._stream.time_base)

    def _decoded(self) -> Iterator[tuple[Any, float]]:
        """Yield the frames with their times; damaged packets are skipped."""
        rate = self._stream.average_rate or self._stream.guessed_rate or 25
        packets = self._container.demux(self._stream)
        number = 0
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except FFmpegError:
                continue
            for frame in frames:
                stamped = frame.pts is not None and frame.time_base is not None
                yield (
                    frame,
                    float(frame.pts * frame.time_base) - self._zero_seconds if stamped else number / float(rate),
                )
                number += 1


def _resized(frame: UInt8[np.ndarray, "H W 3"], shape: tuple[int, ...]) -> UInt8[np.ndarray, "H W 3"]:
    """Bring a frame to exactly another size: scale it to cover that size, then cut out the middle."""
    height, width = shape[:2]
    factor = max(height / frame.shape[0], width / frame.shape[1])
    scaled = resize_short_side(frame, max(min(height, width), int(np.ceil(min(frame.shape[:2]) * factor))))
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]
