"""CLIPSep (Dong et al., ICLR 2023, section 3.1): a U-Net's k intermediate masks, weighed by a query.

The query is a vector of a joint embedding space. This file knows no encoder and no loss.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import VectorQuery, contract_of
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import LateFusion
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VectorQuery):
    """Configuration of CLIPSep. The defaults are the paper's (Appendix C and public code)."""

    embedding_dim: int = 512
    """Dimension D of the shared space: 512 for CLIP ViT-B/32, 384 for `lite`."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k."""
    reads_regions: bool = False
    """Whether a video query is given as its regions, of which the maximum over frames and places is taken, as in Sound
    of Pixels (VAST's Table 4); otherwise it is the mean of its frames' embeddings."""

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(embedding_dim=8, unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4))

    def build(self) -> "CLIPSep":
        """Build the network with fresh weights drawn from torch's generator."""
        return CLIPSep(self)


class CLIPSep(nn.Module):
    """Late fusion over the audio U-Net."""

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, reads="regions" if config.reads_regions else "vectors")
        self.unet = AudioUNet(config.unet)
        self.query_projection = nn.Linear(config.embedding_dim, config.unet.out_channels)
        self.fusion = LateFusion(config.unet.out_channels)

    def query_weights(self, query: QueryEmbedding) -> Float[Tensor, "B Q K"]:
        """Compute `q = sigmoid(Linear(e))`."""
        vectors = query.vectors
        if query.regions is not None and self.config.reads_regions:
            vectors = query.regions.amax(dim=(2, 3, 4))
        if vectors is None:
            raise ConfigError("CLIPSep reads query vectors, and the query carries none")
        return torch.sigmoid(self.query_projection(self.config.scaled(vectors)))

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`."""
        maps = self.unet.encode(log_magnitude)
        logits = self.fusion.decoded(self.unet, maps, self.query_weights(query)).float()
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, bottleneck=maps[-1])
