"""The types that cross module borders, and the legend of axis letters. Nothing here computes more than a check.

Axes, used in every shape of this project:

    B batch · N sources of a mixture · Q queries · C channels (of sound, or of a feature map) · F frequency bins of the
    STFT · 256 rows of the log-frequency grid · T spectrogram frames · K frames of video · H, W rows and columns of an
    image or region grid · D embedding dimension · S samples

Frequency comes before time; time is last. Sounds are float32 with full scale at ±1; images are uint8 RGB.
"""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Complex, Float, Int, UInt8
from torch import Tensor

from trisep.errors import ConfigError, QueryError


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound in memory."""

    samples: Float[np.ndarray, "C S"]
    """float32, full scale ±1 (values beyond are kept: nothing clips in memory)."""
    sample_rate_hz: int

    @property
    def num_channels(self) -> int:
        """Number of channels C."""
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        """Number of samples S per channel."""
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a store: a mono sound with time-stamped frames. It never carries a label."""

    key: str
    waveform: Float[np.ndarray, "S"]
    sample_rate_hz: int
    frames: UInt8[np.ndarray, "K H W 3"]
    frame_times_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A point or a box in the picture, at one moment or (without a time) over the whole video. x runs right, y down."""

    x: float
    y: float
    width: float = 0.0
    """0 with a height of 0: a point. A box's x and y are its upper left corner."""
    height: float = 0.0
    time_seconds: float | None = None
    in_pixels: bool = False
    """Whether coordinates count pixels of the picture as it is shown. Otherwise they are shares of its width and
    height, 0 to 1."""

    @property
    def is_box(self) -> bool:
        """Whether the place has an area."""
        return self.width > 0 and self.height > 0


def _is_picture(image: object) -> bool:
    """Tell whether something is a picture with pixels: uint8 [H, W, 3]."""
    if not isinstance(image, np.ndarray):
        return False
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0


@dataclass(frozen=True, slots=True)
class Query:
    """A query: exactly one of text, a picture, a video, a place in the video that is separated, an example sound, a
    span of what is separated, a vector, or several queries of these kinds.

    `name` names the outputs.
    """

    name: str
    text: str | None = None
    image: UInt8[np.ndarray, "H W 3"] | None = None
    video: Path | None = None
    """A video whose whole picture is the query."""
    place: Place | None = None
    sound: "Path | Audio | None" = None
    """A sound like the one that is looked for; the path of a file, or samples."""
    span: tuple[float, float] | None = None
    """What is heard in a span of the separated sound itself, from and to in seconds."""
    vector: Float[Tensor, "D"] | None = None
    """A vector in the encoder's space."""
    parts: "tuple[Query, ...] | None" = None
    """Queries that together give one stem: what any of them takes."""

    def __post_init__(self) -> None:
        """Raise QueryError for a query that is empty, of more than one kind, or of a picture that is none."""
        kinds = (self.text, self.image, self.video, self.place, self.sound, self.span, self.vector, self.parts)
        if sum(value is not None for value in kinds) != 1:
            raise QueryError(
                f"query '{self.name}': give words, a picture, a video, a place, a sound, a span, a vector or parts, "
                "exactly one of them"
            )
        image: object = self.image
        if image is not None and not _is_picture(image):
            form = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
            raise QueryError(f"query '{self.name}': a picture is uint8 [height, width, 3], 0 to 255, not {form}")
        if self.parts == ():
            raise QueryError(f"query '{self.name}' has no parts: give at least one")
        if self.span is not None and not 0 <= self.span[0] < self.span[1] < math.inf:
            raise QueryError(
                f"query '{self.name}': a span is two times in seconds, the first before the second, such as 3.0-4.5"
            )
        if self.text is not None:
            _check_words(self.text)


def _check_words(text: str) -> None:
    """Raise QueryError for words that hold no letter and no digit, or that are no text."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise QueryError(f"query {ascii(text)} is no text (invalid UTF-8): write it in UTF-8")
    if not any(character.isalnum() for character in text):
        is_symbols = any(unicodedata.category(character).startswith("S") for character in text)
        raise QueryError(
            f"query {text!r} {'holds only symbols' if is_symbols else 'is empty'}: name a sound in words, for example "
            '"violin" or "dog barking"'
        )


@dataclass(frozen=True, slots=True)
class QueryEmbedding:
    """Queries in the form that models read.

    A model reads the field it was made for and raises ConfigError when that is None.
    """

    vectors: Float[Tensor, "B Q D"] | None = None
    regions: Float[Tensor, "B Q K H W D"] | None = None
    label_ids: Int[Tensor, "B Q"] | None = None
    frames: UInt8[Tensor, "B Q K 3 H2 W2"] | None = None
    """RGB pictures, for a model that has an image network of its own (`reads` is `frames`, or `cuts`: what K boxes cut
    out)."""
    box_labels: Int[Tensor, "B Q K"] | None = None
    """Numbers of the classes that a detector gave to the boxes of a query, the surest box of each class first; −1 where
    there are fewer than K boxes (`reads` is `cuts` or `boxes`)."""
    box_vectors: Float[Tensor, "B Q K D"] | None = None
    """Embeddings of what the boxes cut out, each taken as a picture of its own (`reads` is `boxes`; VAST takes them in
    the place of `regions`)."""
    box_frames: Int[Tensor, "B Q K"] | None = None
    """Number of the frame that each box was found in; None where that does not matter."""


@dataclass(frozen=True, slots=True)
class MaskOutput:
    """The output of a model for a batch of log-magnitude spectrograms."""

    masks: Float[Tensor, "B Q 256 T"]
    """Masks in [0, 1]; VAST's sums over regions can exceed 1 before clamping."""
    logits: Float[Tensor, "B Q 256 T"] | None = None
    noise_masks: Float[Tensor, "B N 256 T"] | None = None
    bottleneck: Float[Tensor, "B C H T2"] | None = None
    class_logits: Float[Tensor, "B G L"] | None = None
    """For each of G embeddings or sounds, logits of the L labels, in training by classes."""
    presence_logits: Float[Tensor, "B L"] | None = None
    """For each label, the logit that it is in the mixture."""
    parts: "Parts | None" = None
    """What the mask of each query is the sum of; in training only."""
    sounds: "Sounds | None" = None
    """What the mixture was split into before a query was heard; in training only."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The P sounds that a model of boxes makes of each query: one for each object, or for each group of objects."""

    labels: Int[Tensor, "B Q P"]
    """The detector's class of each part; −1 where there are fewer parts."""
    label_logits: Float[Tensor, "B Q P L"]
    """What the model takes the separated sound of each part for."""
    vectors: Float[Tensor, "B Q P D"]
    """The vector that each part was separated by."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """The J sounds that a model splits a mixture into without a query, and which of them each query's picture shows."""

    masks: Float[Tensor, "B J 256 T"]
    """Masks in [0, 1], which sum to 1."""
    on_screen: Float[Tensor, "B Q J"]
    """Logits that a sound is of what the query shows."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """A training batch of waveforms: the sources as they stand in the sum, and their embeddings by frozen encoders."""

    sources: Float[Tensor, "B N S"]
    interference: Float[Tensor, "B S"] | None
    """Off-screen sound that belongs to no query (already at its level), or None."""
    query: QueryEmbedding
    captions: Float[Tensor, "B N D"] | None = None
    """Latent caption of each source's clip, where the loss reads them."""
    vocabulary: Float[Tensor, "V D"] | None = None
    """Latent captions of the training set, or a sample of them."""
    teacher: Float[Tensor, "B E"] | None = None
    """The frozen audio teacher's embedding of the mixture."""

    @property
    def waveform(self) -> Float[Tensor, "B S"]:
        """The sum that the network reads."""
        total = self.sources.sum(dim=1)
        return total if self.interference is None else total + self.interference


@dataclass(frozen=True, slots=True)
class SpectralMixture:
    """The same batch as the network and the losses read it: magnitudes on the log-frequency grid.

    The number of frames is padded to the multiple that the network needs.
    """

    mixture: Mixture
    sources: Float[Tensor, "B N 256 T"]
    magnitude: Float[Tensor, "B 256 T"]
    """Magnitude of the whole mixture, interference included."""
    spectra: Complex[Tensor, "B N F T"] | None = None
    """STFT of each source on the linear grid; None where no loss reads it."""
    spectrum: Complex[Tensor, "B F T"] | None = None
    """STFT of the whole mixture, interference included."""


@dataclass(frozen=True, slots=True)
class Stem:
    """One separated sound and its properties."""

    query: str
    audio: Audio
    level_db: float
    """RMS of the stem in dBFS; −inf for digital silence."""
    presence: float
    """Estimated probability that the query is present in the mixture at all, 0 to 1."""
    present: bool
    activity_hop_seconds: float
    activity: tuple[float, ...]
    """RMS of the stem per hop, linear full scale."""


@dataclass(frozen=True, slots=True)
class Separation:
    """The result of `Separator.separate`: one stem per query, and the rest."""

    stems: Mapping[str, Stem]
    residual: Audio
    """The mixture minus the sum of the stems, by construction."""
    mixture: Audio
    masks: Float[np.ndarray, "Q 256 T"]
    """Masks on the model's log-frequency grid, over the whole file."""
    frames: UInt8[np.ndarray, "K H W 3"] | None = None
    frame_times_seconds: tuple[float, ...] = ()
    source: Path | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Localization:
    """The place of a query in the picture: one map per frame, summing to one over the grid."""

    maps: Float[np.ndarray, "K H W"]
    frame_times_seconds: tuple[float, ...]
    query: str
    not_understood: str | None = None
    """Why the words are not understood; None where they are."""
    presence: float | None = None
    """How likely the query is heard in the video, 0 to 1; None where there is no sound to hear."""
    present: bool | None = None
    """Whether the presence reaches the model's threshold; a map is drawn in any case. None where there is no sound."""


_LARGEST_SETTINGS = {
    "sample_rate_hz": 768_000,
    "window_samples": 1 << 18,
    "hop_samples": 1 << 17,
    "clip_samples": 1 << 26,
    "num_log_bins": 1 << 12,
}
"""Limits of what a checkpoint or a recipe may ask memory for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalSettings:
    """The signal settings that a model was trained with; they are part of every checkpoint."""

    sample_rate_hz: int = 16000
    window_samples: int = 1024
    """Length of the Hann window, equal to the FFT size."""
    hop_samples: int = 256
    clip_samples: int = 65535
    """Length of a training clip: 256 frames at hop 256."""
    num_log_bins: int = 256
    mixture_level_db: float | None = -20.0
    """RMS, in dBFS, to which a mixture is brought before the network reads it, in training, validation, evaluation and
    separation alike. None leaves it as it was recorded, in all four: so do the papers."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("sample_rate_hz", "hop_samples", "clip_samples", "num_log_bins"):
            if getattr(self, name) < 1:
                raise ConfigError(f"signal.{name}: expected at least 1, got {getattr(self, name)}")
        if self.window_samples < 2 * self.hop_samples:
            raise ConfigError(
                f"signal.window_samples: expected at least twice signal.hop_samples, {2 * self.hop_samples}, got "
                f"{self.window_samples}"
            )
        for name, most in _LARGEST_SETTINGS.items():
            if getattr(self, name) > most:
                raise ConfigError(f"signal.{name}: expected at most {most}, got {getattr(self, name)}")
        if self.mixture_level_db is not None and not -200 <= self.mixture_level_db <= 200:
            raise ConfigError(f"signal.mixture_level_db: expected -200 to 200 or none, got {self.mixture_level_db}")

    @property
    def num_bins(self) -> int:
        """Number of STFT bins F."""
        return self.window_samples // 2 + 1
