"""Frozen encoders, found by name. `load_encoder`: a shared space of words, pictures and regions. `load_teacher`: one
vector of a sound.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from trisep.errors import CheckpointError


@runtime_checkable
class SharedEncoder(Protocol):
    """A frozen joint embedding space. All embeddings are raw, as the original gives them."""

    name: str
    dim: int

    @property
    def fingerprint(self) -> str:
        """Changes whenever an embedding could."""
        ...

    @property
    def token_table(self) -> Float[Tensor, "V E"]:
        """The vectors of all tokens that words consist of, as `encode_tokens` takes them; float32."""
        ...

    def token_word(self, token_id: int) -> str:
        """How a row of `token_table` is written; `CheckpointError` when the vocabulary is not on this machine."""
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
        """Embed sequences of free token vectors; gradients flow through this one only."""
        ...


@runtime_checkable
class GroundedEncoder(SharedEncoder, Protocol):
    """An encoder whose words lie beside its pictures rather than among them, and which can bring them there."""

    def ground(self, text_embeddings: Float[Tensor, "*n D"]) -> Float[Tensor, "*n D"]:
        """Move words' embeddings towards where pictures of what they name would lie; unit length in,
        unit length out.
        """
        ...


@runtime_checkable
class AudioTeacher(Protocol):
    """A frozen audio network that a model's own embedding of a sound may be pulled towards. Embeddings are raw."""

    name: str
    dim: int
    sample_rate_hz: int
    """What it hears at; sounds at other rates are resampled."""
    fingerprint: str
    """Changes whenever an embedding could."""

    def encode_audio(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B E"]:
        """Embed sounds, full scale ±1."""
        ...


TEXT_ENCODER_NAMES = ("bert",)
"""Encoders of words alone, which have no pictures to be asked with."""
ENCODER_NAMES = ("lite", "clip-rn50", "clip-vit-b32", *TEXT_ENCODER_NAMES)
NO_ENCODER = "none"
"""What a recipe and a checkpoint name in the place of an encoder where the model needs none."""
TEACHER_NAMES = ("efficientat-mn04", "clap")

QUERY_TEMPLATES = ("a photo of {}", "a photo of the small {}", "a low resolution photo of a {}", "a photo of many {}")
"""The four wordings of a query whose embeddings are averaged (CLIPSep, Appendix B)."""


@lru_cache
def load_encoder(name: str) -> SharedEncoder:
    """The encoder of that name, loaded once per process; `CheckpointError` for an unknown name."""
    if name == "lite":
        from trisep.encoders.lite import LiteEncoder

        return LiteEncoder()
    if name == NO_ENCODER:
        from trisep.encoders.none import NoEncoder

        return NoEncoder()
    if name == "bert":
        from trisep.encoders.bert import Bert, bert_place

        return Bert(bert_place())
    if name in ENCODER_NAMES:
        from trisep.encoders.clip import load_published

        return load_published(name)
    raise CheckpointError(f"unknown encoder '{name}': expected one of {', '.join(ENCODER_NAMES)}")


@lru_cache
def load_teacher(name: str) -> AudioTeacher:
    """The audio teacher of that name, loaded once per process; `CheckpointError` for an unknown name or missing
    weights.
    """
    if name == "efficientat-mn04":
        from trisep.encoders.efficientat import EfficientAT, find_efficientat

        return EfficientAT(find_efficientat())
    if name == "clap":
        from trisep.encoders.clap import Clap, clap_place

        return Clap(clap_place())
    raise CheckpointError(f"unknown audio teacher '{name}': expected one of {', '.join(TEACHER_NAMES)}")


def encode_query_text(
    encoder: SharedEncoder, text: str, templates: Sequence[str] = QUERY_TEMPLATES, *, ground: bool = True
) -> Float[Tensor, "D"]:
    """A query in words: the mean of the templates' normalised embeddings, normalised; of one template, its embedding as
    it is.

    An encoder that can ground words does so last, unless `ground` is false: models learned from pictures and are asked
    with the like of them; the regions of a picture are told apart better by words as they are.
    """
    embeddings = encoder.encode_text([template.format(text) for template in templates])
    asked: Tensor = embeddings[0]
    if len(templates) > 1:
        mean = (embeddings / embeddings.norm(dim=-1, keepdim=True)).mean(dim=0)
        asked = mean / mean.norm()
    return encoder.ground(asked) if ground and isinstance(encoder, GroundedEncoder) else asked
