"""Sounds and videos of every common container, with changed bytes, and wav headers of any content."""

import functools
import struct
from pathlib import Path
from random import Random

import av
import numpy as np

from benchmarks.fuzz.mutations import mutated_bytes
from trisep.errors import TrisepError
from trisep.media.audio import stream_audio
from trisep.media.probe import probe
from trisep.media.video import stream_frames
from trisep.separation.localize import localize
from trisep.separation.options import OutputOptions, SeparationOptions
from trisep.separation.separator import Separator, load
from trisep.store.ingest import ClipSettings, ingest_file

_WHOLE_EVERY = 40
"""One in so many inputs is also separated and localised."""
_SOUNDS = {
    "s16.wav": ("pcm_s16le", 1), "f32.wav": ("pcm_f32le", 2), "s24.wav": ("pcm_s24le", 6), "u8.wav": ("pcm_u8", 1),
    "s16.flac": ("flac", 2), "vorbis.ogg": ("libvorbis", 2), "opus.ogg": ("libopus", 1), "x.mp3": ("libmp3lame", 2),
    "x.m4a": ("aac", 1), "x.aac": ("aac", 2), "x.ac3": ("ac3", 6), "x.wv": ("wavpack", 1), "x.aiff": ("pcm_s16be", 2),
}  # fmt: skip
_VIDEOS = {
    "h264.mp4": ("libx264", "aac", {}), "fragmented.mp4": ("mpeg4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "mjpeg.mov": ("mjpeg", "pcm_s16le", {}), "h264.mkv": ("libx264", "flac", {}), "vp8.webm": ("libvpx", "libopus", {}),
    "mpeg4.avi": ("mpeg4", "mp2", {}), "mpeg2.ts": ("mpeg2video", "mp2", {}), "x.flv": ("flv1", "libmp3lame", {}),
}  # fmt: skip


def prepare(folder: Path) -> None:
    """Write one second of noise and moving colour in each form that this build of FFmpeg can write."""
    for name, (codec, num_channels) in _SOUNDS.items():
        _write(folder / name, None, codec, num_channels, {})
    for name, (picture, sound, options) in _VIDEOS.items():
        _write(folder / name, picture, sound, 2, options)


def attempt(generator: Random, examples: Path, folder: Path) -> None:
    """Probe, decode all sound and pictures, and prepare; at times also separate and localise."""
    example = generator.choice(sorted(examples.iterdir()))
    data = example.read_bytes()
    if example.suffix == ".wav" and generator.random() < 0.3:
        data = _any_header(generator) + data[44:]
    path = folder / example.name
    path.write_bytes(mutated_bytes(generator, data))
    whole = generator.randrange(_WHOLE_EVERY) == 0
    errors = [
        _error_of(step, path) for step in (_sound, _pictures, _ingest, *((_separate, _localize) if whole else ()))
    ]
    refused = next((error for error in errors if error), None)
    if refused:
        raise refused


def _error_of(step: object, path: Path) -> TrisepError | None:
    """Run one step; what it refuses is returned, so that the others are tried, too."""
    try:
        step(path)  # type: ignore[operator]
    except TrisepError as error:
        return error
    return None


def _sound(path: Path) -> None:
    probe(path)
    for _ in stream_audio(path, mono=True, sample_rate_hz=16000):
        pass
    for _ in stream_audio(path, allow_truncated=True):
        pass


def _pictures(path: Path) -> None:
    for _, _ in zip(range(200), stream_frames(path, fps=4.0, short_side=64), strict=False):
        pass


def _ingest(path: Path) -> None:
    settings = ClipSettings(short_side=32, audio_only_ok=True, min_seconds=0.1)
    for _ in ingest_file(path, source=path.name, sha256="0" * 64, number=0, settings=settings):
        pass


@functools.cache
def _separator() -> Separator:
    return load("default")


def _separate(path: Path) -> None:
    options, outputs = SeparationOptions(allow_truncated=True), OutputOptions(remove=True)
    _separator().separate_to_files(path, ["dog barking"], Path("stems"), options, outputs)


def _localize(path: Path) -> None:
    localize(path, ["dog barking"], model=_separator())


def _any_header(generator: Random) -> bytes:
    """Return the 44 bytes before the samples of a wav file, with fields of any content."""
    channels = generator.choice((0, 1, 2, 3, 6, 8, 9, 255, 65535))
    rate = generator.choice((0, 1, 7, 8000, 44100, 192000, 768000, 768001, 2**31 - 1, 2**32 - 1))
    bits = generator.choice((0, 1, 8, 12, 16, 24, 32, 64, 65535))
    tag = generator.choice((0, 1, 2, 3, 6, 7, 17, 80, 85, 0x2000, 0xFFFE, 0xFFFF))
    align = generator.choice(((channels * bits // 8) & 0xFFFF, 0, 1, 65535))
    size = generator.choice((0, 1, 8000, 2**31 - 1, 2**32 - 1))
    rest = (rate, (rate * align) & 0xFFFFFFFF, align, bits, b"data", size)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", generator.choice((16, 18, 40, 0)), tag, channels, *rest
    )


def _write(path: Path, picture: str | None, sound: str, num_channels: int, options: dict[str, str]) -> None:
    """Write one second; a codec that this build lacks is left out."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[num_channels]
    values = (np.random.default_rng(1).standard_normal((num_channels, 16000)) * 0.1).astype(np.float32)
    try:
        with av.open(str(path), "w", options=options) as container:
            audio = container.add_stream(sound, rate=48000 if "opus" in sound else 16000, layout=layout)
            video = container.add_stream(picture, rate=10) if picture else None
            if video:
                video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p" if picture == "mjpeg" else "yuv420p"
                for number in range(10):
                    pixels = np.full((48, 64, 3), (25 * number, 90, 255 - 25 * number), np.uint8)
                    container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(video.encode())
            frame = av.AudioFrame.from_ndarray(values, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = 16000, 0
            resampler = av.AudioResampler(audio.format, layout, audio.rate, frame_size=audio.frame_size or 0)
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    except (av.FFmpegError, ValueError, OSError):
        path.unlink(missing_ok=True)
