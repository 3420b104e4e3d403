"""LabelSep (Dong et al., ICLR 2023, section 4.1): CLIPSep with a learned embedding of each label.

The embeddings take the place of those of a frozen encoder. This file knows no names of labels and no loss.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import contract_of
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import LateFusion
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Configuration of LabelSep. The defaults are those of the public code."""

    num_labels: int
    """Number of labels that can be a query; the network does not know their names."""
    embedding_dim: int = 512
    """Dimension D of a label's embedding."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.num_labels < 1:
            raise ConfigError(f"num_labels: expected at least 1, got {self.num_labels}")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(
            num_labels=3, embedding_dim=8, unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4)
        )

    def build(self) -> "LabelSep":
        """Build the network with fresh weights drawn from torch's generator."""
        return LabelSep(self)


class LabelSep(nn.Module):
    """Late fusion over the audio U-Net, by the label's embedding."""

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, reads="labels")
        self.unet = AudioUNet(config.unet)
        self.label_embeddings = nn.Embedding(config.num_labels, config.embedding_dim)
        self.query_projection = nn.Linear(config.embedding_dim, config.unet.out_channels)
        self.fusion = LateFusion(config.unet.out_channels)

    def query_weights(self, query: QueryEmbedding) -> Float[Tensor, "B Q K"]:
        """Compute `q = sigmoid(Linear(embedding of the label))`; IndexError for a label outside the network's range."""
        if query.label_ids is None:
            raise ConfigError("LabelSep reads label ids, and the query carries none")
        return torch.sigmoid(self.query_projection(self.label_embeddings(query.label_ids)))

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`."""
        maps = self.unet.encode(log_magnitude)
        logits = self.fusion.decoded(self.unet, maps, self.query_weights(query)).float()
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, bottleneck=maps[-1])
