"""Media files made on the spot with PyAV, in the forms that real ones take."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def _add_picture(container, *, levels, times_seconds, size, codec, rotation):
    stream = container.add_stream(codec, rate=30)
    stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
    if rotation:
        stream.set_display_rotation(rotation)
    stream.codec_context.time_base, stream.codec_context.gop_size = Fraction(1, 1000), 10
    for level, time_seconds in zip(levels, times_seconds, strict=True):
        pixels = np.full((*size, 3), level, np.uint8)
        # A bright top-left corner tells which way is up.
        pixels[: size[0] // 4, : size[1] // 4] = 255
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = round(time_seconds * 1000), Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _feed_sound(container, stream, samples, rate, start_seconds, left_out):
    for begin in range(0, samples.shape[1], 1024):
        if left_out is not None and left_out[0] <= begin / rate < left_out[1]:
            continue
        block = np.ascontiguousarray(samples[:, begin : begin + 1024].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=LAYOUTS[samples.shape[0]])
        frame.sample_rate, frame.pts, frame.time_base = rate, begin + round(start_seconds * rate), Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


@pytest.fixture
def make_media(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of sounds (list of (samples, rate)) and a picture (grey levels at times), in any container and
    codec.
    """

    def make(
        name,
        *,
        sounds=(),
        audio_codec="aac",
        start_seconds=0.0,
        left_out=None,
        levels=(),
        times_seconds=(),
        size=(48, 64),
        video_codec="libx264",
        rotation=0,
        options=None,
    ):
        path = tmp_path / name
        with av.open(str(path), "w", options=options or {}) as container:
            streams = [
                container.add_stream(audio_codec, rate=rate, layout=LAYOUTS[samples.shape[0]])
                for samples, rate in sounds
            ]
            if levels:
                _add_picture(
                    container,
                    levels=levels,
                    times_seconds=times_seconds,
                    size=size,
                    codec=video_codec,
                    rotation=rotation,
                )
            for stream, (samples, rate) in zip(streams, sounds, strict=True):
                _feed_sound(container, stream, samples, rate, start_seconds, left_out)
        return path

    return make


@pytest.fixture
def chirp() -> Callable[..., np.ndarray]:
    """Sweeps that differ between channels, [C, n] float32 at half scale: any shift or swap shows."""

    def make(num_channels=1, rate=48000, seconds=1.0):
        count = round(rate * seconds)
        rows = [
            np.sin(2 * np.pi * np.cumsum(np.linspace(200 + 150 * row, rate * 0.1 + 200 * row, count)) / rate)
            for row in range(num_channels)
        ]
        return (0.5 * np.stack(rows)).astype(np.float32)

    return make
