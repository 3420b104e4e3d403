"""Sound as FFmpeg encodes it: what each codec can hold, and the audio stream of a file that is being written.

This file opens and reads no file: it is given a container and blocks of samples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from jaxtyping import Float32

from trisep.errors import MediaError
from trisep.media.audio import resampled_blocks
from trisep.media.layouts import ENCODED, speakers

_FALLBACK_RATE_HZ = 48000
_BITS_PER_SECOND_PER_CHANNEL = 128_000
_PIECE_SAMPLES = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundCodec:
    """A codec, and the sounds that it can hold."""

    title: str
    """The name that people know."""
    encoder: str
    """FFmpeg's name of the encoder."""
    layouts: Mapping[int, str]
    """FFmpeg's name of the layout, by number of channels."""
    rates_hz: tuple[int, ...] = ()
    """Sampling rates it can hold; none named means any."""
    sample_format: str = "fltp"
    """FFmpeg's name of the samples that the encoder takes."""
    is_lossy: bool = True
    """Whether it has a bit rate to choose."""

    def holds_rate(self, sample_rate_hz: int) -> bool:
        """Tell whether a sound keeps its sampling rate in this codec."""
        return not self.rates_hz or sample_rate_hz in self.rates_hz

    def layout_for(self, layout: str | None, num_channels: int) -> str:
        """Return the layout that a sound of this layout gets: its own where the encoder takes it."""
        usual = self.layouts[num_channels]
        # A channel at the side and one at the back are one place to these codecs.
        if layout is None or len(speakers(layout)) != num_channels or layout == f"{usual}(side)":
            return usual
        try:
            context = av.CodecContext.create(self.encoder, "w")
            assert isinstance(context, av.AudioCodecContext)
            context.sample_rate, context.layout, context.format = _FALLBACK_RATE_HZ, layout, self.sample_format
            context.open()
        except (FFmpegError, ValueError):
            return usual
        return layout

    def require_channels(self, num_channels: int) -> None:
        """Raise MediaError when the codec has no layout of so many channels."""
        if num_channels not in self.layouts:
            known = ", ".join(map(str, self.layouts))
            raise MediaError(
                f"{self.title} holds sounds of {known} channels, this one has {num_channels}; choose wav for the sound"
            )


_AAC_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC = SoundCodec(title="AAC", encoder="aac", layouts=ENCODED, rates_hz=_AAC_RATES_HZ)
MP3 = SoundCodec(title="MP3", encoder="libmp3lame", layouts={1: "mono", 2: "stereo"}, rates_hz=_MP3_RATES_HZ)
OPUS = SoundCodec(
    title="Opus", encoder="libopus", sample_format="flt", layouts={**ENCODED, 4: "quad"}, rates_hz=(_FALLBACK_RATE_HZ,)
)
PCM = SoundCodec(title="16-bit PCM", encoder="pcm_s16le", sample_format="s16", layouts=ENCODED, is_lossy=False)


class SoundTrack:
    """The audio stream of a file that is being written.

    It pulls its samples from an iterator, as far as the picture beside it has come, so that muxing needs little memory.
    """

    def __init__(
        self,
        container: OutputContainer,
        codec: SoundCodec,
        blocks: Iterator[Float32[np.ndarray, "C n"]],
        *,
        sample_rate_hz: int,
        num_channels: int,
        layout: str | None = None,
        bits_per_second: int | None = None,
    ) -> None:
        """Add the stream. A rate that the codec lacks becomes 48 kHz (soxr HQ); MediaError for the channels.

        `layout` is FFmpeg's name of where the channels are heard; the codec's own of so many channels takes its place
        where it lacks that.
        """
        codec.require_channels(num_channels)
        self._container = container
        self._rate_hz = sample_rate_hz if codec.holds_rate(sample_rate_hz) else _FALLBACK_RATE_HZ
        self._layout = codec.layout_for(layout, num_channels)
        at_rate = resampled_blocks(
            blocks, from_hz=sample_rate_hz, to_hz=self._rate_hz, num_channels=num_channels, name="the sound"
        )
        self._pieces = (
            block[:, begin : begin + _PIECE_SAMPLES]
            for block in at_rate
            for begin in range(0, block.shape[1], _PIECE_SAMPLES)
        )
        self._next_sample = 0
        bit_rate = (bits_per_second or _BITS_PER_SECOND_PER_CHANNEL * num_channels) if codec.is_lossy else 0
        self.stream: Any = container.add_stream(
            codec.encoder, rate=self._rate_hz, layout=self._layout, bit_rate=bit_rate
        )

    def write_until(self, time_seconds: float) -> None:
        """Encode the sound up to a time, or a little beyond."""
        while self._next_sample < time_seconds * self._rate_hz and (piece := next(self._pieces, None)) is not None:
            self._encode(piece)

    def finish(self) -> None:
        """Encode the rest and flush."""
        for piece in self._pieces:
            self._encode(piece)
        self._container.mux(self.stream.encode())

    def _encode(self, piece: Float32[np.ndarray, "C n"]) -> None:
        """Encode the next samples.

        They are interleaved, since PyAV cannot fill the planes of 8 channels, and stamped, since the encoder's delay is
        lost otherwise.
        """
        interleaved = np.ascontiguousarray(piece.T, dtype=np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate_hz, self._next_sample, Fraction(1, self._rate_hz)
        self._container.mux(self.stream.encode(frame))
        self._next_sample += piece.shape[1]
