"""CLIPSep-NIT (Dong et al., ICLR 2023, section 3.2): CLIPSep with noise heads, which learn to take what no query
explains.
"""

from dataclasses import dataclass, field
from typing import Literal

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
    """CLIPSep-NIT's shape. The defaults are the paper's."""

    embedding_dim: int = 512
    """Dimension D of the shared space: 512 for CLIP ViT-B/32, 384 for `lite`."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k."""
    num_noise_heads: int = 2
    """Noise heads; noise-invariant training needs at least as many as a mixture has sources. The paper has equally
    many.
    """
    noise_query: Literal["sum", "mean_of_projections"] = "sum"
    """What the noise heads read: the sum of the query vectors q (the paper), or the mean of their projections before
    the sigmoid (published checkpoints). All queries of the call count."""
    keep_noise_heads: bool = False
    """Predict the noise masks outside of training, too. The paper drops them there."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_noise_heads < 1:
            raise ConfigError(
                f"num_noise_heads: expected at least 1, got {self.num_noise_heads}; without noise heads the model is "
                "clipsep"
            )

    @classmethod
    def tiny(cls) -> "Config":
        """A network of a few thousand parameters for tests."""
        return cls(embedding_dim=8, unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4))

    def build(self) -> "CLIPSepNIT":
        """The network with fresh weights drawn from torch's generator."""
        return CLIPSepNIT(self)


class CLIPSepNIT(nn.Module):
    """Late fusion over the audio U-Net, by the queries and by what the noise heads make of them."""

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, has_noise_heads=True)
        self.keep_noise_heads = config.keep_noise_heads
        num_masks = config.unet.out_channels
        self.unet = AudioUNet(config.unet)
        self.query_projection = nn.Linear(config.embedding_dim, num_masks)
        self.noise_projections = nn.ModuleList(nn.Linear(num_masks, num_masks) for _ in range(config.num_noise_heads))
        self.fusion = LateFusion(num_masks)

    def project(self, query: QueryEmbedding) -> Float[Tensor, "B Q K"]:
        """`Linear(e)`, whose sigmoid is the query vector q."""
        if query.vectors is None:
            raise ConfigError("CLIPSep-NIT reads query vectors, and the query carries none")
        vectors = query.vectors
        projected: Tensor = self.query_projection(self.config.scaled(vectors))
        return projected

    def noise_weights(self, projected: Float[Tensor, "B Q K"]) -> Float[Tensor, "B J K"]:
        """`sigmoid(Linear_j(Σ_i q_i))` of each noise head j, or of the mean of the projections, as
        `noise_query` says.
        """
        heard = torch.sigmoid(projected).sum(dim=1) if self.config.noise_query == "sum" else projected.mean(dim=1)
        return torch.sigmoid(torch.stack([head(heard) for head in self.noise_projections], dim=1))

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`.

        `noise_masks` [B, J, 256, T] in [0, 1] are there in training, and otherwise where `keep_noise_heads` is true.
        """
        projected = self.project(query)
        maps = self.unet.encode(log_magnitude)
        intermediate = self.unet.decode(maps)
        logits = self.fusion(intermediate, torch.sigmoid(projected)).float()
        noise_masks = None
        if self.training or self.keep_noise_heads:
            noise_masks = torch.sigmoid(self.fusion(intermediate, self.noise_weights(projected)).float())
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, noise_masks=noise_masks, bottleneck=maps[-1])
