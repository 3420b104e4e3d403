"""VAST (Tan et al., CVPR 2023; AV-SeT in its preprint): one mask for every region of the picture, summed.

The sound is embedded in the space of the regions. This file knows no encoder and no loss.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import log
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import VectorQuery, contract_of
from trisep.networks.audio_unet import AudioEncoder, AudioUNet, UNetConfig
from trisep.networks.fusion import SplitDecoder, summed_masks
from trisep.types import MaskOutput, QueryEmbedding

_ENCODER_GRID = 7
"""Rows and columns of the encoders' region grids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VectorQuery):
    """Configuration of VAST. The defaults are the paper's, but for `UNetConfig.normalization` of the decoder."""

    embedding_dim: int = 1024
    """Dimension D of the shared space and width of the audio bottleneck: 1024 for CLIP RN50, 384 for `lite`."""
    unet: UNetConfig = field(default_factory=lambda: UNetConfig(normalization="channel", out_channels=1))
    """The audio network. Its `bottleneck_width` is `embedding_dim` and may be left out; its one output is the
    logit of a mask."""
    level: Literal["region", "video"] = "region"
    """`region`: one mask per region, summed (Eq. 4). `video`: one mask from the element-wise maximum of the region
    embeddings over frames and regions (Table 8)."""
    audio_encoder: Literal["shared", "separate"] = "shared"
    """The encoder that `embed_audio` runs: the U-Net's own, or a second one of the same shape (Table 10)."""
    region_grid: int | None = None
    """Mean-pool the grid of region embeddings to at most so many rows and columns before anything else. None keeps the
    grid. This is ours, for smaller computers; pooled cells overlap where the sizes do not divide."""
    chunk_regions: int = 32
    """Regions decoded at once, over all mixtures and queries of a batch. It bounds the memory and does
    not change the result."""
    tiling: Literal["signed", "plain"] = "signed"
    """What is tiled beside the bottleneck for a vector v: [v, −v] (ours), or v as in Eq. 4, of which the decoder's
    first ReLU drops the negative coordinates."""
    vector_regions: float = 1.0
    """Number of regions that a single query vector stands for: its mask is sigmoid(logit) times this. It is 1 in the
    paper, where text makes the mask of one region, though a mask was trained as the sum over all of them."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.unet.out_channels != 1:
            raise ConfigError(
                f"unet.out_channels: the decoder makes the mask itself, so expected 1, got {self.unet.out_channels}"
            )
        if self.unet.bottleneck_width not in (None, self.embedding_dim):
            found = self.unet.bottleneck_width
            raise ConfigError(
                f"unet.bottleneck_width: expected embedding_dim, {self.embedding_dim}, or none, which takes it, got "
                f"{found}"
            )
        if min(self.chunk_regions, self.region_grid or 1) < 1 or self.region_grid == 0:
            raise ConfigError(
                f"chunk_regions and region_grid: expected at least 1, got {self.chunk_regions} and {self.region_grid}"
            )
        if not self.vector_regions > 0 or not self.query_scale > 0:
            raise ConfigError(
                f"vector_regions and query_scale: expected above 0, got {self.vector_regions} and {self.query_scale}"
            )
        if self.level == "video" and self.vector_regions != 1:
            raise ConfigError(
                f"vector_regions: at level 'video' every query is one vector, so expected 1, got {self.vector_regions}"
            )

    @property
    def num_start_regions(self) -> int:
        """Number of masks whose sum is the mask of a frame, for the grids that the encoders give."""
        return 1 if self.level == "video" else min(self.region_grid or _ENCODER_GRID, _ENCODER_GRID) ** 2

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        unet = UNetConfig(num_levels=3, base_width=4, max_width=8, normalization="channel", out_channels=1)
        return cls(embedding_dim=8, region_grid=2, unet=unet)

    def build(self) -> "VAST":
        """Build the network with fresh weights drawn from torch's generator."""
        return VAST(self)


class VAST(nn.Module):
    """The audio U-Net with the embedding of each region tiled beside its bottleneck.

    The pooled bottleneck is the audio embedding. At initialisation the last layer's weights are a tenth of torch's and
    its bias is −log(2·H·W − 1), so that the mask of each region is near 1/(2·H·W) and their sum near ½, instead of 24.
    `networks/fusion.py` describes how the decoder is split.

    Ours, unless `tiling` is `plain`: a vector is tiled with its negative beside it, because the decoder begins with a
    ReLU, which would drop half of its coordinates.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, reads="regions", audio_space="query")
        shape = replace(config.unet, bottleneck_width=config.embedding_dim)
        num_tiles = 2 if config.tiling == "signed" else 1
        self.unet = AudioUNet(shape, condition_channels=num_tiles * config.embedding_dim)
        if config.audio_encoder == "separate":
            self.audio_encoder = AudioEncoder(shape)
        last = self.unet.output_layer
        assert last.bias is not None
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.fill_(-log(2 * config.num_start_regions - 1))

    def pool_audio(self, bottleneck: Float[Tensor, "B D H T2"]) -> Float[Tensor, "B D"]:
        """Compute the bottleneck's mean over frequency and time."""
        return bottleneck.float().mean(dim=(2, 3))

    def embed_audio(self, log_magnitude: Float[Tensor, "B 1 256 T"]) -> Float[Tensor, "B D"]:
        """Compute f̂^A: `pool_audio` of a (predicted) spectrogram, in the space of the queries; not of unit length.

        The shared encoder normalises by its running statistics here, in training too: they stay those of mixtures,
        which the masks are made from, and the embedding is the same function in training and after it.
        """
        if self.config.audio_encoder == "separate":
            return self.pool_audio(self.audio_encoder.encode(log_magnitude)[-1])
        with _on_running_statistics(self.unet):
            return self.pool_audio(self.unet.encode(log_magnitude)[-1])

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T]; T is a multiple of `contract.time_multiple`.

        Where the query has regions, they are read and its vectors are not. Regions give, per frame, the sum of their
        masks, then the mean over frames (Eq. 4), without logits. Vectors, or regions at level `video`, give one mask
        each, with its logits, to which `vector_regions` does not apply. Boxes of frames are summed as their regions
        are (Table 9). Sums and multiples may exceed 1; outside
        training they are clamped. Regions and queries do not see each other, and the encoder runs once per mixture.
        """
        vectors, places = query.vectors, self._places(query)
        if places is not None and self.config.level == "video":
            vectors, places = places.strongest, None
        maps = self.unet.encode(log_magnitude)
        decoder = SplitDecoder(self.unet, maps)
        if places is not None:
            tiled = self._tiled(places.vectors)
            logits, total = None, summed_masks(decoder, tiled, self.config.chunk_regions, places.weights)
            masks = total / places.num_frames
        elif vectors is not None:
            logits = decoder(self._tiled(vectors))
            masks = torch.sigmoid(logits) * self.config.vector_regions
        else:
            raise ConfigError("VAST reads regions or query vectors, and the query carries neither")
        return MaskOutput(masks=masks if self.training else masks.clamp(0, 1), logits=logits, bottleneck=maps[-1])

    def _places(self, query: QueryEmbedding) -> "_Places | None":
        """Return the regions of the query's frames, or their boxes; None where it has neither."""
        if query.regions is not None:
            return _Places(self._pooled(query.regions).flatten(2, 4), None, query.regions.shape[2])
        if query.box_vectors is None or query.box_labels is None:
            return None
        is_there = query.box_labels >= 0
        frames = torch.zeros_like(query.box_labels) if query.box_frames is None else query.box_frames
        # A frame counts once: for the first of its boxes.
        again = (frames.unsqueeze(-1) == frames.unsqueeze(-2)).logical_and(is_there.unsqueeze(-2)).tril(-1).any(dim=-1)
        num_frames = (is_there & ~again).sum(dim=-1)[..., None, None]
        return _Places(query.box_vectors, is_there.to(query.box_vectors.dtype), num_frames)

    def _pooled(self, regions: Float[Tensor, "B Q K H W D"]) -> Float[Tensor, "B Q K H2 W2 D"]:
        """Pool the grid to `region_grid`; grids that are no larger are kept."""
        rows, columns = (min(length, self.config.region_grid or length) for length in regions.shape[3:5])
        pooled = nn.functional.adaptive_avg_pool2d(regions.flatten(0, 2).permute(0, 3, 1, 2), (rows, columns))
        return pooled.permute(0, 2, 3, 1).reshape(*regions.shape[:3], rows, columns, regions.shape[-1])

    def _tiled(self, vectors: Float[Tensor, "*any D"]) -> Float[Tensor, "*any D2"]:
        """Return what is tiled beside the bottleneck: the vector, with its negative where the tiling is signed."""
        vectors = self.config.scaled(vectors)
        if self.config.tiling == "plain":
            return vectors
        return torch.cat([vectors, -vectors], dim=-1)


@dataclass(frozen=True, slots=True)
class _Places:
    """The places in all frames of a query that make a mask each."""

    vectors: Float[Tensor, "B Q R D"]
    weights: Float[Tensor, "B Q R"] | None
    """0 where a query has fewer places, otherwise 1; None where all queries have R."""
    num_frames: Tensor | int
    """Number of frames of each query."""

    @property
    def strongest(self) -> Float[Tensor, "B Q D"]:
        """The element-wise maximum of the vectors."""
        if self.weights is None:
            return self.vectors.amax(dim=2)
        return self.vectors.masked_fill(self.weights.unsqueeze(-1) == 0, -torch.inf).amax(dim=2)


@contextmanager
def _on_running_statistics(network: nn.Module) -> Iterator[None]:
    """Set batch normalisation to evaluation mode within the body, and nothing else."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d) and layer.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True
