"""Frozen encoders. A shared-space encoder embeds words, pictures and regions of pictures in one space; `load_encoder` finds it by name."""

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


ENCODER_NAMES = ("lite", "clip-rn50", "clip-vit-b32")

QUERY_TEMPLATES = ("a photo of {}", "a photo of the small {}", "a low resolution photo of a {}", "a photo of many {}")
"""The four wordings of a query whose embeddings are averaged (CLIPSep, Appendix B)."""


@lru_cache
def load_encoder(name: str) -> SharedEncoder:
    """The encoder of that name, loaded once per process; `CheckpointError` for an unknown name."""
    if name == "lite":
        from trisep.encoders.lite import LiteEncoder

        return LiteEncoder()
    if name in ENCODER_NAMES:
        from trisep.encoders.clip import load_published

        return load_published(name)
    raise CheckpointError(f"unknown encoder '{name}': expected one of {', '.join(ENCODER_NAMES)}")


def encode_query_text(encoder: SharedEncoder, text: str, templates: Sequence[str] = QUERY_TEMPLATES) -> Float[Tensor, "D"]:
    """A query in words: each template's embedding normalised, their mean, normalised."""
    embeddings = encoder.encode_text([template.format(text) for template in templates])
    mean = (embeddings / embeddings.norm(dim=-1, keepdim=True)).mean(dim=0)
    unit: Tensor = mean / mean.norm()
    return unit
