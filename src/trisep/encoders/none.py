"""The encoder of models that need none: their queries are labels, or frames that the model itself embeds."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from trisep.encoders import NO_ENCODER
from trisep.errors import QueryError


class NoEncoder:
    """A `SharedEncoder` of dimension 0 whose methods all raise QueryError."""

    name = NO_ENCODER
    dim = 0
    fingerprint = ""
    token_table = torch.zeros(0, 0)

    def token_word(self, token_id: int) -> str:
        """Raise QueryError, since there is no vocabulary."""
        self._refuse()

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Raise QueryError, since the model reads no text embeddings."""
        self._refuse()

    def encode_image(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n D"]:
        """Raise QueryError, since the model reads no picture embeddings."""
        self._refuse()

    def encode_regions(self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n 7 7 D"]:
        """Raise QueryError, since the model reads no region embeddings."""
        self._refuse()

    def encode_tokens(self, token_embeddings: Float[Tensor, "n m E"]) -> Float[Tensor, "n D"]:
        """Raise QueryError, since the model reads no text embeddings."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise QueryError(
            "this model was trained without an embedding space that text and pictures share, which this needs; choose "
            "another --model"
        )
