"""MiniLM-L6 (Wang et al. 2020), a BERT of six layers (Devlin et al. 2019): word pieces → one state for each of them.

The weights are those of sentence-transformers' all-MiniLM-L6-v2, entry `minilm-l6` of `trisep.pretrained`. Module names
are those of the published file, so that its tensors load as they are. The pooler is left out. The file is mapped into
memory rather than copied: of 30522 word vectors only those of the text are read. This file knows no tokenizer.
"""

from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

_WORDS, _POSITIONS, _TYPES = 30522, 512, 2
_WIDTH = 384
_HIDDEN = 1536
_NUM_LAYERS = 6
_NUM_HEADS = 12
_EPSILON = 1e-12
_UNUSED = ("pooler", "embeddings.position_ids")
"""Beginnings of the keys in the published file that are not used here."""


class _Table(nn.Module):
    """A table of vectors. `nn.Embedding` draws random ones, for which PyTorch imports its whole compiler (seconds)."""

    def __init__(self, num_rows: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, _WIDTH))


class _Embeddings(nn.Module):
    """Adds the vectors of word, position and the first token type (BERT has two), and normalises the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = _Table(_WORDS)
        self.position_embeddings = _Table(_POSITIONS)
        self.token_type_embeddings = _Table(_TYPES)
        self.LayerNorm = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, words: Float[Tensor, "n m 384"]) -> Float[Tensor, "n m 384"]:
        """Word vectors [n, m, 384] → the input of the first layer, of the same shape (Devlin et al., section 3)."""
        x = words + self.token_type_embeddings.weight[0]
        result: Tensor = self.LayerNorm(x + self.position_embeddings.weight[: words.shape[1]])
        return result


class _SelfAttention(nn.Module):
    """Self-attention in twelve heads: every position reads all positions that the mask leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(_WIDTH, _WIDTH) for _ in range(3))

    def forward(self, x: Float[Tensor, "n m 384"], mask: Bool[Tensor, "n 1 1 m"] | None) -> Float[Tensor, "n m 384"]:
        """States [n, m, 384] → of the same shape; the mask is False where nothing may be read, None reads all."""
        projected = self.query(x), self.key(x), self.value(x)
        query, key, value = (part.unflatten(-1, (_NUM_HEADS, -1)).transpose(1, 2) for part in projected)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


class _Projection(nn.Module):
    """The end of both halves of a layer: a projection, the input of the half added, and only then the normalisation."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, _WIDTH)
        self.LayerNorm = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, x: Float[Tensor, "n m _"], shortcut: Float[Tensor, "n m 384"]) -> Float[Tensor, "n m 384"]:
        """Features [n, m, in_features] and the input of the half [n, m, 384] → [n, m, 384]."""
        result: Tensor = self.LayerNorm(shortcut + self.dense(x))
        return result


class _Layer(nn.Module):
    """Self-attention, then two linear layers with an exact GELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": _SelfAttention(), "output": _Projection(_WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(_WIDTH, _HIDDEN)})
        self.output = _Projection(_HIDDEN)

    def forward(self, x: Float[Tensor, "n m 384"], mask: Bool[Tensor, "n 1 1 m"] | None) -> Float[Tensor, "n m 384"]:
        """States [n, m, 384] → of the same shape; the mask as in self-attention."""
        x = self.attention["output"](self.attention["self"](x, mask), x)
        result: Tensor = self.output(F.gelu(self.intermediate["dense"](x)), x)
        return result


class MiniLM(nn.Module):
    """Word pieces [n, m] or free vectors [n, m, 384] → the last layer's states [n, m, 384]; m is at most 512.

    There is no dropout: the network serves for inference, not for training. Its weights come from `load_minilm`.
    """

    def __init__(self) -> None:
        """Build the layers without weights."""
        super().__init__()
        self.embeddings = _Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer() for _ in range(_NUM_LAYERS))})

    @property
    def word_table(self) -> Float[Tensor, "30522 384"]:
        """The vectors of all word pieces, as `from_embeddings` takes them."""
        return self.embeddings.word_embeddings.weight

    def from_ids(self, ids: Int[Tensor, "n m"], mask: Int[Tensor, "n m"]) -> Float[Tensor, "n m 384"]:
        """Read rows of `word_table`; the mask is 0 where a sentence is padded, and nothing is read from there."""
        return self.from_embeddings(self.word_table[ids], mask)

    def from_embeddings(
        self,
        token_embeddings: Float[Tensor, "n m 384"],
        mask: Int[Tensor, "n m"] | None = None,
    ) -> Float[Tensor, "n m 384"]:
        """Read free vectors in the place of words, differentiably; without a mask all of them count."""
        seen = None if mask is None else mask.bool()[:, None, None, :]
        states: Tensor = self.embeddings(token_embeddings)
        for layer in self.encoder["layer"].children():
            states = layer(states, seen)
        return states


def load_minilm(file: Path) -> MiniLM:
    """Load the frozen network from a published safetensors file; no other weights are drawn first."""
    with torch.device("meta"):
        network = MiniLM()
    state = {key: value for key, value in load_file(file).items() if not key.startswith(_UNUSED)}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
