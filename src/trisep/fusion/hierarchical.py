"""Hierarchical fusion: the query meets the sound at the bottleneck and again at the last layer. Source: HFRA Eq. 5."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.fusion.late import LateFusion
from trisep.fusion.middle import SplitDecoder
from trisep.networks.audio_unet import AudioUNet


class HierarchicalFusion(nn.Module):
    """`Proj₁(e) ⊙ Dec(tile(Proj₂(e)) ⊕ Enc(X))`, the k channels that remain summed by `LateFusion`.

    Both projections are single linear layers. The equation ends with k channels; that they are summed with a learned scale and a bias,
    as in CLIPSep, is our reading.
    """

    def __init__(self, embedding_dim: int, condition_channels: int, num_masks: int, *, squash: bool) -> None:
        """`condition_channels` is Proj₂'s width, `num_masks` is k, Proj₁'s width; `squash` passes both through a sigmoid."""
        super().__init__()
        self.late_projection = nn.Linear(embedding_dim, num_masks)
        self.middle_projection = nn.Linear(embedding_dim, condition_channels)
        self.late = LateFusion(num_masks)
        self.squash = squash

    def forward(self, unet: AudioUNet, maps: list[Float[Tensor, "B _ _ _"]], vectors: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q 256 T"]:
        """One map of logits per query. `unet` was built with this fusion's `condition_channels`; `maps` are what it encoded."""
        weights, condition = self.late_projection(vectors), self.middle_projection(vectors)
        if self.squash:
            weights, condition = torch.sigmoid(weights), torch.sigmoid(condition)
        decoded = SplitDecoder(unet, maps)(condition).flatten(0, 1)
        return self.late(decoded, weights.flatten(0, 1).unsqueeze(1)).reshape(*vectors.shape[:2], *decoded.shape[2:])  # type: ignore[no-any-return]
