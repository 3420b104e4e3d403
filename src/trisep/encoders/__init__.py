"""Frozen encoders, found by name. None of them is trained here, and none knows a mixture.

`load_encoder` gives an embedding space that text, pictures and regions share. `load_teacher` gives an audio network
that embeds a sound as one vector.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from trisep.encoders.foreign_words import in_english
from trisep.errors import CheckpointError, needs_extra


@runtime_checkable
class SharedEncoder(Protocol):
    """A frozen joint embedding space. All embeddings are raw, as the original network gives them."""

    name: str
    dim: int

    @property
    def fingerprint(self) -> str:
        """A hash that changes whenever an embedding could change."""
        ...

    @property
    def token_table(self) -> Float[Tensor, "V E"]:
        """The vectors of all tokens of the vocabulary, as `encode_tokens` takes them; float32."""
        ...

    def token_word(self, token_id: int) -> str:
        """Return the text of a row of `token_table`; `CheckpointError` when the vocabulary is not on this machine."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Embed sentences."""
        ...

    def encode_image(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n D"]:
        """Embed whole pictures of any size."""
        ...

    def encode_regions(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 7 7 D"]:
        """Embed each cell of a 7 × 7 grid over each picture."""
        ...

    def encode_tokens(self, token_embeddings: Float[Tensor, "n m E"]) -> Float[Tensor, "n D"]:
        """Embed sequences of free token vectors; this is the only method through which gradients flow."""
        ...


@runtime_checkable
class GroundedEncoder(SharedEncoder, Protocol):
    """An encoder whose text embeddings lie apart from its picture embeddings, and which can move them there."""

    def ground(self, text_embeddings: Float[Tensor, "*n D"]) -> Float[Tensor, "*n D"]:
        """Move text embeddings of any length towards the place of pictures of the same thing, at unit length."""
        ...


@runtime_checkable
class HearingEncoder(SharedEncoder, Protocol):
    """An encoder that places sounds in the space of text and pictures."""

    def encode_audio(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B D"]:
        """Embed mono sounds, full scale ±1, each as a whole."""
        ...

    def encode_audio_seconds(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B N D"]:
        """Embed every second of mono sounds, N = ⌈S / rate⌉."""
        ...


@runtime_checkable
class DoubtingEncoder(SharedEncoder, Protocol):
    """An encoder that can tell where in a picture it sees nothing."""

    def encode_regions_with_doubt(
        self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> tuple[Float[Tensor, "n 7 7 D"], Float[Tensor, "n 7 7"]]:
        """Compute `encode_regions`, and by how much the cosines of each cell with words are to be lowered, from 0."""
        ...


@runtime_checkable
class AudioTeacher(Protocol):
    """A frozen audio network towards which a model's own embedding of a sound can be pulled. Embeddings are raw."""

    name: str
    dim: int
    sample_rate_hz: int
    """Sampling rate at which it reads sounds; sounds at other rates are resampled."""

    @property
    def fingerprint(self) -> str:
        """A hash that changes whenever an embedding could change."""
        ...

    def encode_audio(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B E"]:
        """Embed sounds, full scale ±1."""
        ...


TEXT_ENCODER_NAMES = ("bert",)
"""Encoders of text alone, which embed no pictures."""
ENCODER_NAMES = ("lite", "clip-rn50", "clip-vit-b32", *TEXT_ENCODER_NAMES)
NO_ENCODER = "none"
"""The name of an encoder in a recipe and a checkpoint whose model needs none."""
TEACHER_NAMES = ("lite", "efficientat-mn04", "clap")

QUERY_TEMPLATES = ("a photo of {}", "a photo of the small {}", "a low resolution photo of a {}", "a photo of many {}")
"""The four prompts of a query whose embeddings are averaged (CLIPSep, Appendix B)."""
TRAINING_TEMPLATES = QUERY_TEMPLATES[:1]
"""The one prompt of the labels with which CLIPSep-Text and -Hybrid are trained (public code)."""


@lru_cache
def load_encoder(name: str) -> SharedEncoder:
    """Return the encoder of that name, loaded once per process; `CheckpointError` for an unknown name."""
    if name == "lite":
        from trisep.encoders.lite import LiteEncoder

        return LiteEncoder()
    if name == NO_ENCODER:
        from trisep.encoders.none import NoEncoder

        return NoEncoder()
    if name == "bert":
        with needs_extra("the encoder bert"):
            from trisep.encoders.bert import Bert, bert_place

        return Bert(bert_place())
    if name in ENCODER_NAMES:
        from trisep.encoders.clip import load_published

        return load_published(name)
    raise CheckpointError(f"unknown encoder '{name}': expected one of {', '.join(ENCODER_NAMES)}")


@lru_cache
def load_teacher(name: str) -> AudioTeacher:
    """Return the audio teacher of that name, loaded once per process.

    Raises `CheckpointError` for an unknown name or missing weights.
    """
    if name == "lite":
        from trisep.encoders.audio_tower import SoundClasses

        return SoundClasses()
    if name == "efficientat-mn04":
        from trisep.encoders.efficientat import EfficientAT, find_efficientat

        return EfficientAT(find_efficientat())
    if name == "clap":
        with needs_extra("the teacher clap"):
            from trisep.encoders.clap import Clap, clap_place

        return Clap(clap_place())
    raise CheckpointError(f"unknown audio teacher '{name}': expected one of {', '.join(TEACHER_NAMES)}")


def encode_query_text(
    encoder: SharedEncoder, text: str, templates: Sequence[str] = QUERY_TEMPLATES, *, ground: bool = True
) -> Float[Tensor, "D"]:
    """Embed a text query: the mean of its prompt templates' embeddings, each as the encoder gives it.

    The mean is not normalised (CLIPSep's public code): its length is that of the raw embeddings, as is that of a
    picture, on which most models are trained. A common sound that is named in another language is translated first
    (`foreign_words.py`).

    An encoder that can ground text does so last, unless `ground` is false. Separation models were trained with picture
    embeddings, and grounded text lies closer to these. Localisation compares text with the regions of a picture, which
    text that is not grounded distinguishes better.
    """
    words = in_english(text)
    query = _mean_of(cast(Hashable, encoder), tuple(template.format(words) for template in templates)).clone()
    return encoder.ground(query) if ground and isinstance(encoder, GroundedEncoder) else query


# One separation embeds the words of a query three times (for the network, for presence, and to see whether they are
# understood), a batch does so for each file, and an evaluation for each mixture.
@lru_cache(maxsize=1024)
def _mean_of(encoder: Hashable, sentences: tuple[str, ...]) -> Float[Tensor, "D"]:
    """Return the mean of the embeddings of sentences, which are embedded once for each encoder."""
    mean: Tensor = cast(SharedEncoder, encoder).encode_text(list(sentences)).mean(dim=0)
    return mean
