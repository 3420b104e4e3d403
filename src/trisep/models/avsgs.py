"""AVSGS (Chatterjee et al., ICCV 2021): the sounds of a scene, each from a sub-graph of what the picture shows.

Detected boxes are the nodes of a graph. Graph attention and edge convolution let them speak to each other, pooling
makes one vector of them, and a recurrent unit unrolls it into one vector for each sounding group of objects, which
makes a mask as in Co-Separation. This file knows no detector and no loss.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import VectorQuery, contract_of
from trisep.models.co_separation import SoundClassifier, check_boxes, is_repeated, masks_of_parts, summed_parts
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.graph import EdgeConvolution, GraphAttention, pool_nodes
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VectorQuery):
    """Configuration of AVSGS. The defaults are the paper's where spec and public settings give them."""

    embedding_dim: int = 1024
    """Dimension D of the vectors of boxes: 1024 for CLIP RN50, 384 for `lite`."""
    num_labels: int = 16
    """Classes of the detector, and one more for a whole picture in which nothing was detected."""
    num_boxes: int = 42
    """Largest number of boxes of a video: the nodes of its graph."""
    num_parts: int = 2
    """Largest number of sub-graphs of a video; it has as many as its boxes have classes, up to this."""
    graph_channels: int = 512
    """Dimension of nodes and of sub-graphs, a multiple of twice `num_heads`."""
    num_heads: int = 4
    """Heads of the graph attention."""
    unet: UNetConfig = field(default_factory=lambda: UNetConfig(upsampling="transposed", out_channels=1))
    """The audio network; its one output is the logit of a mask."""
    image_width: int = 64
    """Channels of the first stage of the ResNet that classifies sounds; 64 makes it ResNet-18."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_boxes(self)
        if min(self.num_parts, self.num_heads, self.image_width) < 1:
            raise ConfigError("num_parts, num_heads and image_width must be at least 1")
        if self.graph_channels < 1 or self.graph_channels % (2 * self.num_heads):
            expected = f"a multiple of twice num_heads, {2 * self.num_heads}"
            raise ConfigError(f"graph_channels: expected {expected}, got {self.graph_channels}")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of some ten thousand parameters for tests."""
        unet = UNetConfig(num_levels=3, base_width=4, max_width=8, upsampling="transposed", out_channels=1)
        return cls(embedding_dim=8, num_labels=4, graph_channels=16, num_heads=2, unet=unet, image_width=1)

    def build(self) -> "AVSGS":
        """Build the network with fresh weights drawn from torch's generator."""
        return AVSGS(self)


class AVSGS(nn.Module):
    """The audio U-Net with the vector of each sub-graph tiled beside its bottleneck.

    Our deviations: the nodes are embeddings by the recipe's frozen encoder in the place of a detector's features, and
    all nodes are connected. The recurrent unit begins with the graph's vector as its state and reads its own last
    output, first zeros.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, reads="boxes")
        channels = config.graph_channels
        self.attention = GraphAttention(config.embedding_dim, channels, config.num_heads)
        self.edges = EdgeConvolution(channels, channels // 2)
        self.unroll = nn.GRUCell(channels, channels)
        self.unet = AudioUNet(config.unet, condition_channels=channels)
        self.classifier = SoundClassifier(config.num_labels, config.image_width)

    def embed_parts(self, boxes: Float[Tensor, "G K D"], is_there: Bool[Tensor, "G K"]) -> Float[Tensor, "G P D2"]:
        """Compute the vectors of the `num_parts` sub-graphs of each graph of boxes."""
        nodes = nn.functional.leaky_relu(self.attention(self.config.scaled(boxes), is_there), 0.2)
        state = pool_nodes(self.edges(nodes, is_there), is_there)
        parts, output = [], torch.zeros_like(state)
        for _ in range(self.config.num_parts):
            output = state = self.unroll(output, state)
            parts.append(output)
        return torch.stack(parts, dim=1)

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T], each the sum over its sub-graphs, without logits; and, in training, the parts.

        T is a multiple of `contract.time_multiple`. Sums may exceed 1; outside training they are clamped. Which part is
        of which label is for the loss to find out: the parts are interchangeable.
        """
        if query.box_labels is None or query.box_vectors is None:
            raise ConfigError("AVSGS reads the vectors of boxes, and the query carries none")
        shape = query.box_labels.shape
        parts = self.embed_parts(query.box_vectors.flatten(0, 1), (query.box_labels >= 0).flatten(0, 1))
        vectors = parts.view(*shape[:2], *parts.shape[1:])
        labels = distinct_labels(query.box_labels, self.config.num_parts)
        maps = self.unet.encode(log_magnitude)
        part_masks = masks_of_parts(self.unet, maps, vectors, labels)
        return summed_parts(self, log_magnitude, part_masks, labels, vectors, maps[-1])


def distinct_labels(labels: Int[Tensor, "B Q K"], num_parts: int) -> Int[Tensor, "B Q P"]:
    """Return the first P different labels of each query, in order; −1 where it has fewer.

    Example:
        >>> distinct_labels(torch.tensor([[[7, 7, 2, 5, -1]]]), 2)
        tensor([[[7, 2]]])
    """
    is_new = (labels >= 0) & ~is_repeated(labels)
    first = torch.argsort(is_new.int(), dim=-1, descending=True, stable=True)
    ordered = labels.gather(-1, first).masked_fill(~is_new.gather(-1, first), -1)
    return nn.functional.pad(ordered, (0, max(0, num_parts - labels.shape[-1])), value=-1)[..., :num_parts]
