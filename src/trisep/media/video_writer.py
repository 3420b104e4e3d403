"""Frames and sound encoded into a new video file. This file decodes nothing; remux.py copies encoded pictures."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from jaxtyping import UInt8

from trisep.errors import MediaError
from trisep.media.muxer import open_muxer
from trisep.media.sound_track import AAC, OPUS, SoundTrack
from trisep.types import Audio


def write_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    *,
    fps: float,
    audio: Audio | None = None,
    comment: str = "",
) -> None:
    """Encode frames, and sound if given, into a video file.

    The suffix of `path` chooses the container (.mp4, .mov, .mkv). The codec is H.264 where FFmpeg has an encoder
    for it, else MPEG-4 part 2; the pixel format is 4:2:0. Sides of odd length are made even by repeating the
    last row or column. Sound is AAC at 128 kbit/s a channel, in 1, 2, 3, 4, 5, 6 or 8 channels; a rate that AAC
    lacks becomes 48 kHz. A comment is kept in the file's metadata.

    Raises:
        MediaError: the place cannot be written, no frames, an unknown suffix, or channels that do not fit AAC.
        ValueError: fps is not positive, or frames differ in size.
    """
    if not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}")
    path = Path(path)
    with open_muxer(path) as container:
        if comment:
            container.metadata["comment"] = comment
        rate = Fraction(fps).limit_denominator(1001 * 60)
        numbered = enumerate(frames)
        first = next(numbered, None)
        if first is None:
            raise MediaError(f"{path}: there are no frames to write; give at least one")
        picture = _picture_stream(container, first[1].shape, rate)
        sound = None
        if audio is not None:
            sound = SoundTrack(
                container,
                OPUS if path.suffix.lower() == ".webm" else AAC,
                iter([audio.samples]),
                sample_rate_hz=audio.sample_rate_hz,
                num_channels=audio.num_channels,
            )
        for number, frame in _chained(first, numbered):
            _require_size(frame, number, first[1].shape)
            picture_frame = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
            picture_frame.pts, picture_frame.time_base = number, 1 / rate
            container.mux(picture.encode(picture_frame))
            if sound is not None:
                sound.write_until(float((number + 1) / rate))
        container.mux(picture.encode())
        if sound is not None:
            sound.finish()


def _require_size(frame: UInt8[np.ndarray, "H W 3"], number: int, shape: tuple[int, ...]) -> None:
    """Raise ValueError where a frame is not as large as the first."""
    if frame.shape != shape:
        raise ValueError(f"frames must all have one size: frame {number} is {list(frame.shape)}, frame 0 {list(shape)}")


class PictureTrack:
    """A stream of pictures in a container, encoded as `write_video` does, each frame at its own time."""

    _TIME_BASE = Fraction(1, 90_000)

    def __init__(
        self,
        container: OutputContainer,
        frames: Iterator[tuple[float, UInt8[np.ndarray, "H W 3"]]],
        *,
        fps: Fraction,
    ) -> None:
        """Take the first of `frames`, which are (seconds, pixels) with rising times; `fps` is what is declared."""
        first = next(frames, None)
        if first is None:
            raise MediaError("there are no frames to write; give at least one")
        self._container, self._frames = container, _chained(first, frames)
        self._stream = _picture_stream(container, first[1].shape, fps)
        self._stream.codec_context.time_base = self._TIME_BASE
        self._seconds = 0.0

    def write_until(self, seconds: float) -> None:
        """Write the frames up to a time."""
        while self._seconds <= seconds and (following := next(self._frames, None)) is not None:
            self._seconds, pixels = following
            frame = av.VideoFrame.from_ndarray(_even(pixels), format="rgb24")
            frame.pts, frame.time_base = round(self._seconds / self._TIME_BASE), self._TIME_BASE
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write the frames that are left."""
        self.write_until(math.inf)
        self._container.mux(self._stream.encode())


def _picture_stream(container: OutputContainer, shape: tuple[int, ...], rate: Fraction) -> Any:
    """Add a stream for frames of one size, in H.264 or the nearest codec that FFmpeg has."""
    options = {"crf": "18", "preset": "veryfast"}
    name = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    stream: Any = container.add_stream(name, rate=rate, options=options if name == "libx264" else {"qscale": "3"})
    stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    stream.pix_fmt = "yuv420p"
    return stream


def _even(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Repeat the last row or column where a side is odd, which 4:2:0 cannot hold."""
    padding = ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0))
    return np.ascontiguousarray(np.pad(frame, padding, mode="edge"))


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    """Yield the item already taken, then the rest."""
    yield first
    yield from rest
