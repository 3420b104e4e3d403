"""HFRA (BMVC 2025): hierarchical fusion, its middle and late ablations, and the aligned audio embedding.

The embedding is aligned with that of a frozen teacher. This file knows neither the teacher nor an encoder or a loss.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import VectorQuery, contract_of
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import HierarchicalFusion, LateFusion, SplitDecoder
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VectorQuery):
    """Configuration of HFRA. The defaults are the paper's where it gives them."""

    embedding_dim: int = 512
    """Dimension D of the shared space: 512 for CLIP ViT-B/32, 384 for `lite`."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k."""
    fusion: Literal["hierarchical", "middle", "late"] = "hierarchical"
    """`hierarchical` is Eq. 5. `middle` is Eq. 1, whose decoder's channels are summed as they are. `late` is Eq. 2,
    which is CLIPSep's but for the sigmoid."""
    condition_channels: int = 32
    """Width of Proj₂(e) at the bottleneck (ours: the paper gives none). `middle` tiles the query vector itself,
    as in Eq. 1."""
    modulate: bool = False
    """The query also scales and shifts every channel of the decoder's inner layers (FiLM, Perez et al. 2018): ours.
    Only `hierarchical` fusion has it."""
    squash_projections: bool = False
    """Pass the projections through a sigmoid, as CLIPSep does; the paper has single linear layers."""
    teacher_dim: int | None = None
    """Dimension of the audio teacher's embeddings, to which `embed_audio` projects; None leaves the projection out."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.condition_channels < 1:
            raise ConfigError(f"condition_channels: expected at least 1, got {self.condition_channels}")
        if self.modulate and self.fusion != "hierarchical":
            raise ConfigError(f"modulate: only hierarchical fusion has it, and fusion is {self.fusion}; leave it False")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(
            embedding_dim=8,
            condition_channels=4,
            unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4),
        )

    def build(self) -> "HFRA":
        """Build the network with fresh weights drawn from torch's generator."""
        return HFRA(self)


class HFRA(nn.Module):
    """The audio U-Net with one of three fusions.

    Our readings: the k channels that a fusion leaves are summed with a learned scale and bias and passed through a
    sigmoid, as in CLIPSep. The encoder runs once a mixture. The decoder runs once a query where the query enters at the
    bottleneck, with batch statistics over all queries.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, audio_space="teacher")
        num_masks, dim = config.unet.out_channels, config.embedding_dim
        widening = {"hierarchical": config.condition_channels, "middle": dim, "late": 0}[config.fusion]
        self.unet = AudioUNet(config.unet, condition_channels=widening)
        self.fusion: HierarchicalFusion | LateFusion
        if config.fusion == "hierarchical":
            self.fusion = HierarchicalFusion(
                dim,
                config.condition_channels,
                num_masks,
                squash=config.squash_projections,
                modulated=config.unet.widths[-2::-1] if config.modulate else (),
            )
        else:
            self.fusion = LateFusion(num_masks)
        if config.fusion == "late":
            self.late_projection = nn.Linear(dim, num_masks)
        if config.teacher_dim is not None:
            self.audio_projection = nn.Linear(config.unet.widths[-1], config.teacher_dim)

    def pool_audio(self, bottleneck: Float[Tensor, "B C H T2"]) -> Float[Tensor, "B D"]:
        """Compute z_a of Eq. 6: the bottleneck's mean over frequency and time.

        A linear layer projects it to `teacher_dim` where that is set.
        """
        pooled = bottleneck.float().mean(dim=(2, 3))
        return self.audio_projection(pooled) if self.config.teacher_dim is not None else pooled

    def embed_audio(self, log_magnitude: Float[Tensor, "B 1 256 T"]) -> Float[Tensor, "B D"]:
        """Compute `pool_audio` of the spectrogram of a mixture."""
        return self.pool_audio(self.unet.encode(log_magnitude)[-1])

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`."""
        if query.vectors is None:
            raise ConfigError("HFRA reads query vectors, and the query carries none")
        vectors = self.config.scaled(query.vectors)
        maps = self.unet.encode(log_magnitude)
        logits = self._logits(maps, vectors).float()
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, bottleneck=maps[-1])

    def _logits(
        self, maps: list[Float[Tensor, "B _ _ _"]], vectors: Float[Tensor, "B Q D"]
    ) -> Float[Tensor, "B Q 256 T"]:
        """Compute the logits by Eq. 5, 1 or 2."""
        if isinstance(self.fusion, HierarchicalFusion):
            return self.fusion(self.unet, maps, vectors)  # type: ignore[no-any-return]
        if self.config.fusion == "middle":
            alike = self.fusion.scale.expand(*vectors.shape[:2], -1)
            return SplitDecoder(self.unet, maps, once=True)(vectors, alike) + self.fusion.bias
        weights = self.late_projection(vectors)
        if self.config.squash_projections:
            weights = torch.sigmoid(weights)
        return self.fusion.decoded(self.unet, maps, weights)
