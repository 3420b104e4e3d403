"""The forms in which a finished sound can be written: wav, flac, mp3, m4a, opus and ogg."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np

from trisep.errors import ConfigError, MediaError
from trisep.media import SoundFormat, SoundSubtype
from trisep.media.audio import AudioSubtype, AudioWriter, read_facts, stream_audio
from trisep.media.muxer import open_muxer
from trisep.media.sound_track import AAC, MP3, OPUS, SoundTrack

BITRATE_RANGE = (6_000, 3_072_000)
"""Smallest and largest bit rate of a lossy sound, in bits per second, over all its channels."""
_CODECS = {"mp3": MP3, "m4a": AAC, "opus": OPUS, "ogg": OPUS}
_FLAC_CHANNELS = 8
_FLAC_HIGHEST_RATE_HZ = 655_350
_FULL_SCALE = 1.0 - 2.0**-23


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundForm:
    """How sounds are written into files."""

    format: SoundFormat = "wav"
    subtype: SoundSubtype | None = None
    """How samples are kept in wav and flac; None takes float32 for wav and int24 for flac."""
    bits_per_second: int | None = None
    """Bit rate of the lossy formats, over all channels; None takes 128 kbit/s a channel."""

    def __post_init__(self) -> None:
        """Raise ConfigError for choices that contradict each other."""
        if self.format not in get_args(SoundFormat):
            raise ConfigError(f"format must be one of {', '.join(get_args(SoundFormat))}, not {self.format!r}")
        if self.subtype is not None and f"{self.format}_{self.subtype}" not in get_args(AudioSubtype):
            choice = "wav holds float32, int24 and int16, flac int24 and int16, the others choose themselves"
            raise ConfigError(f"subtype {self.subtype} does not fit {self.format}: {choice}")
        if self.bits_per_second is not None and not BITRATE_RANGE[0] <= self.bits_per_second <= BITRATE_RANGE[1]:
            low, high = (value // 1000 for value in BITRATE_RANGE)
            raise ConfigError(f"the bit rate must be {low}k to {high}k bits per second, not {self.bits_per_second}")

    @property
    def is_lossy(self) -> bool:
        """Whether a codec chooses what is kept."""
        return self.format in _CODECS

    @property
    def keeps_everything(self) -> bool:
        """Whether values beyond full scale stay as they are: 32-bit floats."""
        return self.format == "wav" and self.subtype in (None, "float32")

    def require(self, *, sample_rate_hz: int, num_channels: int) -> None:
        """Raise MediaError when a sound of this rate and so many channels cannot be written in this form."""
        if self.format == "flac" and num_channels > _FLAC_CHANNELS:
            raise MediaError(f"flac holds at most {_FLAC_CHANNELS} channels, this sound has {num_channels}; choose wav")
        if self.format == "flac" and sample_rate_hz > _FLAC_HIGHEST_RATE_HZ:
            raise MediaError(
                f"flac holds at most {_FLAC_HIGHEST_RATE_HZ} samples a second, this sound has {sample_rate_hz}; choose "
                "wav"
            )
        if not self.is_lossy:
            return
        codec = _CODECS[self.format]
        codec.require_channels(num_channels)
        # Opus stands at 48 kHz whatever it was made from: that is its nature, and no rate of the user's choosing.
        if codec is not OPUS and not codec.holds_rate(sample_rate_hz):
            low, high = min(codec.rates_hz), max(codec.rates_hz)
            raise MediaError(
                f"{self.format} holds usual rates from {low} to {high} Hz, this sound has {sample_rate_hz} Hz; choose "
                "wav, flac or opus"
            )

    def write(self, path: Path, sound: Path, *, gain: float = 1.0) -> None:
        """Write a file of sound into another, in this form, its samples multiplied by a factor.

        Raises MediaError when the place cannot be written, or when integers would overflow.
        """
        head = read_facts(sound, None)
        rate, num_channels = head.sample_rate_hz, head.num_channels
        blocks = (block * np.float32(gain) for block in stream_audio(sound))
        if self.is_lossy:
            with open_muxer(path) as container:
                codec = _CODECS[self.format]
                SoundTrack(
                    container,
                    codec,
                    blocks,
                    sample_rate_hz=rate,
                    num_channels=num_channels,
                    layout=head.layout,
                    bits_per_second=self.bits_per_second,
                ).finish()
            return
        subtype = self.subtype or ("float32" if self.format == "wav" else "int24")
        kind = cast(AudioSubtype, f"{self.format}_{subtype}")
        with AudioWriter(
            path, sample_rate_hz=rate, num_channels=num_channels, subtype=kind, layout=head.layout
        ) as writer:
            for block in blocks:
                writer.write(block)


def gain_to_full_scale(peak: float) -> float:
    """Return the factor that brings a peak above full scale down to it; 1 where it is not above."""
    return min(1.0, _FULL_SCALE / peak) if peak > 0 else 1.0


def decibels(gain: float) -> float:
    """Return 20 log10 of a factor."""
    return 20 * math.log10(gain)
