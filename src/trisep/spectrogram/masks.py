"""Mask targets from known sources, and masks applied to mixtures. This file knows no loss and no network."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from trisep.spectrogram.log_frequency import to_linear_frequency
from trisep.spectrogram.stft import istft
from trisep.types import SignalSettings


def ratio_mask(
    sources: Float[Tensor, "B N F T"], total: Float[Tensor, "B F T"] | None = None
) -> Float[Tensor, "B N F T"]:
    """Compute `A_i / Σ_j A_j`, clamped to [0, 1] (VAST Eq. 10).

    `total` replaces the sum where the mixture holds more than the sources.
    """
    denominator = sources.sum(dim=1) if total is None else total
    return (sources / denominator.clamp_min(1e-10).unsqueeze(1)).clamp(0, 1)


def binary_mask(sources: Float[Tensor, "B N F T"], mixture: Float[Tensor, "B F T"]) -> Float[Tensor, "B N F T"]:
    """Return 1 where a source makes up more than half of the mixture's magnitude, else 0 (CLIPSep, before Eq. 1)."""
    return (sources > 0.5 * mixture.unsqueeze(1)).to(sources.dtype)


def exclusive_masks(masks: Float[Tensor, "B Q 256 T"]) -> Float[Tensor, "B Q 256 T"]:
    """Share each bin out among the queries of one call, so that the masks sum to at most 1.

    Thus two stems never hold the same sound. With odds `o = M / (1 − M)`, query i gets `o_i / (1/Q + Σ_j o_j)`. This is
    a softmax over the queries and the rest. For one query it is the mask itself; with more queries, the weight of the
    rest falls as 1/Q. This is ours; in the papers each query is separated on its own.
    """
    if masks.shape[1] == 1:
        return masks
    odds = masks / (1 - masks).clamp_min(1e-6)
    return odds / (1 / masks.shape[1] + odds.sum(dim=1, keepdim=True))


def joined_masks(
    masks: Float[Tensor, "Q 256 T"], groups: Sequence[Sequence[int]], *, exclusive: bool
) -> Float[Tensor, "G 256 T"]:
    """Give each group of queries what any of its members takes, `1 − Π (1 − M)`.

    The groups and the queries in no group, the negatives, share the sound out among themselves (`exclusive_masks`).
    Where `exclusive` is false, a group shares with the negatives alone. The union is ours: members that share the sound
    out before they are added take less (docs/experiments/2026-11-30-words-tried-on-the-mixture.md).
    """
    unions = torch.stack([_union(masks[list(group)]) for group in groups])
    grouped = {query for group in groups for query in group}
    negatives = masks[[query for query in range(len(masks)) if query not in grouped]]
    if exclusive:
        return exclusive_masks(torch.cat([unions, negatives])[None])[0, : len(groups)]
    return torch.stack([exclusive_masks(torch.cat([union[None], negatives])[None])[0, 0] for union in unions])


def _union(masks: Float[Tensor, "n 256 T"]) -> Float[Tensor, "256 T"]:
    """Return what any of several masks takes; one mask is returned as it is."""
    return masks[0] if len(masks) == 1 else 1 - (1 - masks).prod(dim=0)


def apply_masks(
    spectrum: Complex[Tensor, "B F T"], masks: Float[Tensor, "B Q 256 T"], settings: SignalSettings, num_samples: int
) -> Float[Tensor, "B Q S"]:
    """Compute `iSTFT(mask · mixture)`: the estimates carry the phase of the mixture (spec section 1)."""
    linear = to_linear_frequency(masks, spectrum.shape[-2])
    return istft(linear * spectrum.unsqueeze(1), settings, num_samples)
