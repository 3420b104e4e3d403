"""Video files: frames and sound into a new file, or a video with its sound replaced and its picture copied untouched.

This file decodes nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.codec.codec import UnknownCodecError
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from jaxtyping import UInt8

from trisep.errors import MediaError
from trisep.media.files import replacing, write_failure
from trisep.media.probe import open_media, picture_streams, timeline_start_seconds
from trisep.types import Audio

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_AAC_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_OPUS_RATE_HZ = 48000
_BITS_PER_SECOND_PER_CHANNEL = 128_000
_ENCODER_BLOCK_SAMPLES = 1024
_MAX_REORDERED_FRAMES = 16
"""Limit of H.264 and HEVC: no frame is decoded more than so many frames before it is shown."""


def write_video(
    path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], *, fps: float, audio: Audio | None = None
) -> None:
    """Encode frames, and sound if given, into a video file.

    The suffix of `path` chooses the container (.mp4, .mov, .mkv). The codec is H.264 where FFmpeg has an encoder
    for it, else MPEG-4 part 2; the pixel format is 4:2:0. Sides of odd length are made even by repeating the
    last row or column. Sound is AAC at 128 kbit/s a channel, in 1, 2, 3, 4, 5, 6 or 8 channels; a rate that AAC
    lacks becomes 48 kHz.

    Raises:
        MediaError: the place cannot be written, there are no frames, the suffix is unknown, or the channels
            do not fit AAC.
        ValueError: fps is not positive, or frames differ in size.
    """
    if not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}")
    path = Path(path)
    with _muxer(path) as container:
        rate = Fraction(fps).limit_denominator(1001 * 60)
        numbered = enumerate(frames)
        first = next(numbered, None)
        if first is None:
            raise MediaError(f"{path}: there are no frames to write; give at least one")
        picture = _picture_stream(container, first[1].shape, rate)
        sound = None if audio is None else _SoundTrack(container, audio, path)
        for number, frame in _chained(first, numbered):
            if frame.shape != first[1].shape:
                raise ValueError(
                    f"frames must all have one size: frame {number} is {list(frame.shape)}, frame 0 "
                    f"{list(first[1].shape)}"
                )
            picture_frame = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
            picture_frame.pts, picture_frame.time_base = number, 1 / rate
            container.mux(picture.encode(picture_frame))
            if sound is not None:
                sound.write_until(float((number + 1) / rate))
        container.mux(picture.encode())
        if sound is not None:
            sound.finish()


def replace_audio(video_path: Path, audio: Audio, out_path: Path) -> None:
    """Copy the picture of a video untouched, rotation included, and give it another sound.

    The sound starts at time zero of the video, as `stream_audio` yields it. Only the first video stream is copied;
    other sound, subtitles and chapters are left out. The codec is AAC as in `write_video`, or Opus for .webm.
    `out_path` may be `video_path` itself.

    Raises MediaError when the video cannot be read or has no picture, when the place cannot be written, or when the
    container that the suffix of `out_path` names cannot hold the codec of the video.
    """
    video_path, out_path = Path(video_path), Path(out_path)
    with open_media(video_path) as source:
        streams = picture_streams(source)
        if not streams:
            raise MediaError(f"{video_path}: holds no picture to put a sound to; give a video")
        zero_seconds = timeline_start_seconds(source)
        with _muxer(out_path) as container:
            try:
                picture = container.add_stream_from_template(streams[0])
            except ValueError as error:
                codec = streams[0].codec_context.name
                raise MediaError(
                    f"{out_path}: cannot be written (a {out_path.suffix} file cannot hold {codec} video); use .mkv"
                ) from error
            sound = _SoundTrack(container, audio, out_path)
            for packet in _stamped_packets(source, streams[0], zero_seconds):
                sound.write_until(float(packet.dts * packet.time_base))
                packet.stream = picture
                container.mux(packet)
            sound.finish()


def _stamped_packets(source: InputContainer, stream: Any, zero_seconds: float) -> Iterator[Any]:
    """Yield the packets of a stream, counted from time zero, with rising decoding times throughout.

    Matroska lacks the first decoding times.
    """
    last: int | None = None
    for packet in source.demux(stream):
        if packet.size == 0 or (packet.pts is None and packet.dts is None):
            continue
        offset = round(zero_seconds / float(packet.time_base))
        pts = (packet.dts if packet.pts is None else packet.pts) - offset
        if packet.dts is not None:
            dts = packet.dts - offset
        else:
            dts = pts - _MAX_REORDERED_FRAMES if last is None else last
        packet.pts, packet.dts = pts, dts if last is None else max(dts, last + 1)
        last = packet.dts
        yield packet


class _SoundTrack:
    """The audio stream of a file that is being written.

    It is fed in step with the picture, so that muxing needs little memory.
    """

    def __init__(self, container: OutputContainer, audio: Audio, path: Path) -> None:
        """Choose codec and rate by the container; MediaError when the codec lacks the number of channels."""
        if audio.num_channels not in _LAYOUTS:
            raise MediaError(
                f"{path}: a video's sound has 1 to 6 or 8 channels, this one has {audio.num_channels}; write it as wav "
                "instead"
            )
        opus = "webm" in container.format.name.split(",")
        self._rate_hz = audio.sample_rate_hz if audio.sample_rate_hz in _AAC_RATES_HZ and not opus else _OPUS_RATE_HZ
        samples = audio.samples
        if self._rate_hz != audio.sample_rate_hz:
            samples = soxr.resample(samples.T, audio.sample_rate_hz, self._rate_hz).T
        self._samples = samples
        self._layout = _LAYOUTS[audio.num_channels]
        self._container = container
        self._next = 0
        self._stream: Any = container.add_stream("libopus" if opus else "aac", rate=self._rate_hz, layout=self._layout)
        self._stream.bit_rate = _BITS_PER_SECOND_PER_CHANNEL * audio.num_channels

    def write_until(self, time_seconds: float) -> None:
        """Encode the sound up to a time."""
        end = min(self._samples.shape[1], int(time_seconds * self._rate_hz))
        while self._next + _ENCODER_BLOCK_SAMPLES <= end:
            self._encode(_ENCODER_BLOCK_SAMPLES)

    def finish(self) -> None:
        """Encode the rest and flush."""
        while self._next < self._samples.shape[1]:
            self._encode(min(_ENCODER_BLOCK_SAMPLES, self._samples.shape[1] - self._next))
        self._container.mux(self._stream.encode())

    def _encode(self, num_samples: int) -> None:
        """Encode the next block."""
        # Interleaved, since PyAV cannot fill the planes of 8 channels; stamped, since the encoder's delay is lost
        # otherwise.
        block = self._samples[:, self._next : self._next + num_samples].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block.T).reshape(1, -1), format="flt", layout=self._layout
        )
        frame.sample_rate, frame.pts, frame.time_base = self._rate_hz, self._next, Fraction(1, self._rate_hz)
        self._container.mux(self._stream.encode(frame))
        self._next += num_samples


@contextmanager
def _muxer(path: Path) -> Iterator[OutputContainer]:
    """Open a container under a temporary name, and move it into place when the body ends well.

    FFmpeg's errors in the body become MediaError.
    """
    with replacing(path) as temporary:
        try:
            container = av.open(str(temporary.absolute()), "w")
        except ValueError as error:
            raise MediaError(
                f"{path}: no video format is known by the suffix '{path.suffix}'; use .mp4, .mov, .mkv or .webm"
            ) from error
        except FFmpegError as error:
            raise write_failure(path, error) from error
        try:
            with container:
                yield container
        except (FFmpegError, UnknownCodecError) as error:
            raise write_failure(path, error) from error


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
