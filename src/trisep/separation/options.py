"""How a sound is separated, and what files are written of it."""

import math
from dataclasses import dataclass

from trisep.errors import ConfigError
from trisep.media import SoundFormat, SoundSubtype
from trisep.media.sound_form import SoundForm
from trisep.separation import Precision
from trisep.spectrogram.log_frequency import AboveNyquist
from trisep.types import Query


@dataclass(frozen=True, kw_only=True, slots=True)
class SeparationOptions:
    """How a sound is separated."""

    threshold: float | None = None
    """Presence below which a stem is flagged as absent, 0 to 1; None takes the threshold of the model."""
    segment_seconds: float | None = None
    """How much the network reads at once; None chooses. Beyond rounding, the result does not depend on it."""
    stream: int | None = None
    """Which of the file's streams of sound, from 0; None takes the default one, else the first that can be decoded."""
    start_seconds: float = 0.0
    """Where in the file to begin."""
    duration_seconds: float | None = None
    """How much to separate; None goes on to the end."""
    negatives: tuple[str | Query, ...] = ()
    """What is surely not wanted: it takes its share of the sound from the queries, and is not written."""
    allow_truncated: bool = False
    """Accept a file that cannot be decoded to its end."""
    above_nyquist: AboveNyquist = "top"
    """What masks are above half the model's sampling rate: `top` (average of the top band), `mute` or `keep`."""
    precision: Precision = "auto"
    """Numbers that the network computes in: `fp32`, `bf16`, or `auto`, which is bf16 where that is faster."""
    exclusive: bool = True
    """Several queries share the sound out among themselves; False gives each what it would get if it were the only one.
    """

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold must be between 0 and 1, not {self.threshold}")
        if self.segment_seconds is not None and not 0 < self.segment_seconds < math.inf:
            raise ConfigError(f"segment_seconds must be above 0 and finite, not {self.segment_seconds}")
        if self.duration_seconds is not None and not 0 < self.duration_seconds < math.inf:
            raise ConfigError(f"duration_seconds must be above 0 and finite, not {self.duration_seconds}")
        if not 0 <= self.start_seconds < math.inf or (self.stream or 0) < 0:
            raise ConfigError(
                f"start_seconds and stream must not be negative, not {self.start_seconds} and {self.stream}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputOptions:
    """What files a separation writes."""

    residual: bool = True
    """residual.wav, mixture − Σ stems."""
    remove: bool = False
    """without.wav, the mixture without any of the queries: at a `strength` of 1 the same samples as the residual, under
    the name that people look for.
    """
    strength: float = 1.0
    """How much of the queries is taken out of `without`, 0 to 1: mixture − strength · Σ stems. What is left of a sound
    hides what its removal does to the others."""
    into_video: bool = False
    """For each query, and with `remove` for the rest, also the source's video with that sound in place of its own."""
    format: SoundFormat = "wav"
    """All but wav get one gain if any sound would clip, which the report gives as `gain_db`."""
    subtype: SoundSubtype | None = None
    """How samples are kept in wav (float32, the default, int24 or int16) and flac (int24, the default, or int16)."""
    replaces: bool = False
    """Whether the results of another input may be replaced, which a folder holds; those of the same input always may.
    """
    audio_bitrate: int | None = None
    """Bits per second of a lossy sound, over all its channels; None takes 128 000 a channel."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a strength out of range, and for choices that contradict each other."""
        if not 0 < self.strength <= 1:
            raise ConfigError(f"strength must be above 0 and at most 1, not {self.strength}")
        if self.strength < 1 and not self.remove:
            raise ConfigError("a strength is of no use where nothing is removed; add --remove, or leave it out")
        if self.audio_bitrate is not None and not (self.form.is_lossy or self.into_video):
            raise ConfigError(
                f"a bit rate is of no use for {self.format}; choose the format mp3, m4a, opus or ogg, or ask for videos"
            )

    @property
    def parts_removed(self) -> dict[str, float]:
        """How much of the stems is taken out of the mixture, for each sound of the rest that is written, by name."""
        parts = (("residual", 1.0, self.residual), ("without", self.strength, self.remove))
        return {name: part for name, part, is_wanted in parts if is_wanted}

    @property
    def form(self) -> SoundForm:
        """How the sounds are written."""
        return SoundForm(format=self.format, subtype=self.subtype, bits_per_second=self.audio_bitrate)
