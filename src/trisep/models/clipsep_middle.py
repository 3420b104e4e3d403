"""CLIPSep with the query at the bottleneck: the variant of the public code.

The paper found it to overfit (Appendix C). This file knows no encoder and no loss.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import VectorQuery, contract_of
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import SplitDecoder
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VectorQuery):
    """Configuration of the variant. The defaults are the public code's."""

    embedding_dim: int = 512
    """Dimension D of the shared space: 512 for CLIP ViT-B/32, 384 for `lite`."""
    unet: UNetConfig = field(default_factory=lambda: UNetConfig(out_channels=1))
    """The audio network; its one output is the mask's logit."""
    condition_channels: int = 32
    """Width of the projected query at the bottleneck."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.unet.out_channels != 1:
            raise ConfigError(
                f"unet.out_channels: the decoder makes the mask itself, so expected 1, got {self.unet.out_channels}"
            )
        if self.condition_channels < 1:
            raise ConfigError(f"condition_channels: expected at least 1, got {self.condition_channels}")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(
            embedding_dim=8,
            condition_channels=4,
            unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=1),
        )

    def build(self) -> "CLIPSepMiddle":
        """Build the network with fresh weights drawn from torch's generator."""
        return CLIPSepMiddle(self)


class CLIPSepMiddle(nn.Module):
    """Middle fusion over the audio U-Net: the encoder runs once, the decoder once for each query.

    Our deviation: in training the queries of a batch share the decoder's batch statistics; the public code normalises
    them apart.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet)
        self.unet = AudioUNet(config.unet, condition_channels=config.condition_channels)
        self.query_projection = nn.Linear(config.embedding_dim, config.condition_channels)

    def condition(self, query: QueryEmbedding) -> Float[Tensor, "B Q C"]:
        """Compute `sigmoid(Linear(e))`, which is tiled over the bottleneck."""
        if query.vectors is None:
            raise ConfigError("CLIPSep with middle fusion reads query vectors, and the query carries none")
        vectors = query.vectors
        return torch.sigmoid(self.query_projection(self.config.scaled(vectors)))

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`."""
        condition = self.condition(query)
        maps = self.unet.encode(log_magnitude)
        logits = SplitDecoder(self.unet, maps, once=True)(condition)
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, bottleneck=maps[-1])
