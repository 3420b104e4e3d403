"""Late fusion: the query weighs the network's k intermediate masks. Source: Sound of Pixels; CLIPSep section 3.1."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LateFusion(nn.Module):
    """`logit = Σ_j w_j q_j M̃_j + b` with a learned scale w [k] and bias b.

    The paper's line can be read with the sum outside the sigmoid, which leaves [0, 1]; the public code sums inside, as here.
    """

    def __init__(self, num_channels: int) -> None:
        """`num_channels` is k, the number of intermediate masks."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, intermediate: Float[Tensor, "B K 256 T"], weights: Float[Tensor, "B Q K"]) -> Float[Tensor, "B Q 256 T"]:
        """One map of logits per query."""
        flat = torch.bmm((weights * self.scale).to(intermediate.dtype), intermediate.flatten(2))
        return flat.view(*flat.shape[:2], *intermediate.shape[2:]) + self.bias
