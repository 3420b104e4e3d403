"""Layers over the nodes of small, fully connected graphs of different sizes, padded to one number of nodes.

Every layer takes the nodes [G, K, D] and a mask [G, K] that is false where a graph has fewer than K of them: what
stands there changes nothing. Nothing here knows what the nodes are.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class GraphAttention(nn.Module):
    """Graph attention (Veličković et al., ICLR 2018) over all nodes of a graph, the node itself among them.

    Each head computes `Σ_j α_ij W x_j` with `α_i = softmax_j LeakyReLU(a·[W x_i, W x_j])`; the heads are joined.
    """

    def __init__(self, in_dim: int, out_dim: int, num_heads: int) -> None:
        """Build the layers; `out_dim` is a multiple of `num_heads`."""
        super().__init__()
        self.num_heads = num_heads
        self.values = nn.Linear(in_dim, out_dim, bias=False)
        self.target, self.source = (nn.Parameter(torch.empty(num_heads, out_dim // num_heads)) for _ in range(2))
        for weights in (self.target, self.source):
            nn.init.xavier_uniform_(weights)

    def forward(self, nodes: Float[Tensor, "G K D"], is_there: Bool[Tensor, "G K"]) -> Float[Tensor, "G K D2"]:
        """Compute the new nodes."""
        values = self.values(nodes).unflatten(-1, (self.num_heads, -1))
        target, source = ((values * weights).sum(dim=-1) for weights in (self.target, self.source))
        scores = nn.functional.leaky_relu(target.unsqueeze(2) + source.unsqueeze(1), 0.2)
        shares = scores.masked_fill(~is_there[:, None, :, None], -torch.inf).softmax(dim=2)
        return torch.einsum("gijh,gjhc->gihc", shares, values).flatten(2)


class EdgeConvolution(nn.Module):
    """Edge convolution (Wang et al., DGCNN, 2019): `max_j MLP([x_i, x_j − x_i])` over all nodes j of the graph."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        """Build the layers of the edges."""
        super().__init__()
        self.edges = nn.Sequential(nn.Linear(2 * in_dim, out_dim), nn.LeakyReLU(0.2), nn.Linear(out_dim, out_dim))

    def forward(self, nodes: Float[Tensor, "G K D"], is_there: Bool[Tensor, "G K"]) -> Float[Tensor, "G K D2"]:
        """Compute the new nodes."""
        own = nodes.unsqueeze(2).expand(-1, -1, nodes.shape[1], -1)
        edges = self.edges(torch.cat([own, nodes.unsqueeze(1) - own], dim=-1))
        largest: Tensor = edges.masked_fill(~is_there[:, None, :, None], -torch.inf).amax(dim=2)
        return largest


def pool_nodes(nodes: Float[Tensor, "G K D"], is_there: Bool[Tensor, "G K"]) -> Float[Tensor, "G D2"]:
    """Join the maximum and the mean over the nodes of each graph; a graph has at least one node."""
    there = is_there.unsqueeze(-1)
    largest = nodes.masked_fill(~there, -torch.inf).amax(dim=1)
    mean = nodes.masked_fill(~there, 0).sum(dim=1) / there.sum(dim=1)
    return torch.cat([largest, mean], dim=-1)
