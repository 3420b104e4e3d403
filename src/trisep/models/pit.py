"""PIT (Yu et al. 2017, as in CLIPSep's Appendix D): the audio U-Net alone, which separates without a query.

Its masks are interchangeable, and it does not know which one belongs to which source. The loss takes the assignment of
least cost, and an evaluation the best one, which requires the known sources.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import contract_of
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Configuration of PIT. The defaults are those of the public code."""

    num_sources: int = 2
    """Number N of interchangeable masks."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.num_sources < 1:
            raise ConfigError(f"num_sources: expected at least 1, got {self.num_sources}")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4))

    def build(self) -> "PIT":
        """Build the network with fresh weights drawn from torch's generator."""
        return PIT(self)


class PIT(nn.Module):
    """N masks, each a weighted sum of the U-Net's k maps with weights and a bias of its own (a 1×1 convolution)."""

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, reads="nothing")
        self.unet = AudioUNet(config.unet)
        self.head = nn.Conv2d(config.unet.out_channels, config.num_sources, 1)

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding | None = None) -> MaskOutput:
        """Compute masks [B, N, 256, T] in [0, 1], whatever the query, and their logits.

        T is a multiple of `contract.time_multiple`.
        """
        maps = self.unet.encode(log_magnitude)
        logits = self.head(self.unet.decode(maps)).float()
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, bottleneck=maps[-1])
