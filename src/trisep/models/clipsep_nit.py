"""CLIPSep-NIT (Dong et al., ICLR 2023, section 3.2): CLIPSep with noise heads for sound that no query explains.

This file knows no encoder and no loss; `losses/noise_invariant.py` trains the noise heads.
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
    """Configuration of CLIPSep-NIT. The defaults are the paper's."""

    embedding_dim: int = 512
    """Dimension D of the shared space: 512 for CLIP ViT-B/32, 384 for `lite`."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k."""
    num_noise_heads: int = 2
    """Number of noise heads; noise-invariant training needs at least as many as a mixture has sources. In the
    paper both are equal."""
    noise_query: Literal["sum", "mean_of_projections"] = "sum"
    """Input of the noise heads: the sum of the query vectors q (the paper), or the mean of their projections before the
    sigmoid (published checkpoints). All queries of the call count."""
    keep_noise_heads: bool = False
    """Predict the noise masks outside of training, too. The paper drops the noise heads there."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_noise_heads < 1:
            raise ConfigError(
                f"num_noise_heads: expected at least 1, got {self.num_noise_heads}; without noise heads the model is "
                "clipsep"
            )

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(embedding_dim=8, unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4))

    def build(self) -> "CLIPSepNIT":
        """Build the network with fresh weights drawn from torch's generator."""
        return CLIPSepNIT(self)


class CLIPSepNIT(nn.Module):
    """Late fusion over the audio U-Net, by the queries and by the noise heads' projection of them."""

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
        """Compute `Linear(e)`, whose sigmoid is the query vector q."""
        if query.vectors is None:
            raise ConfigError("CLIPSep-NIT reads query vectors, and the query carries none")
        vectors = query.vectors
        projected: Tensor = self.query_projection(self.config.scaled(vectors))
        return projected

    def noise_weights(self, projected: Float[Tensor, "B Q K"]) -> Float[Tensor, "B J K"]:
        """Compute `sigmoid(Linear_j(Σ_i q_i))` of each noise head j, or of the mean of the projections.

        `noise_query` chooses between the two.
        """
        joined = torch.sigmoid(projected).sum(dim=1) if self.config.noise_query == "sum" else projected.mean(dim=1)
        return torch.sigmoid(torch.stack([head(joined) for head in self.noise_projections], dim=1))

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`.

        `noise_masks` [B, J, 256, T] in [0, 1] are computed in training, and otherwise where `keep_noise_heads` is true.
        """
        projected = self.project(query)
        maps = self.unet.encode(log_magnitude)
        weights, has_noise = torch.sigmoid(projected), self.training or self.keep_noise_heads
        if has_noise:
            weights = torch.cat([weights, self.noise_weights(projected)], dim=1)
        every = self.fusion.decoded(self.unet, maps, weights).float()
        logits, noise = every[:, : projected.shape[1]], every[:, projected.shape[1] :]
        noise_masks = torch.sigmoid(noise) if has_noise else None
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, noise_masks=noise_masks, bottleneck=maps[-1])
