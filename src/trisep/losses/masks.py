"""Losses between predicted masks and mask targets (spec section 2). All reduce by the mean over bins, sources and batch."""

import torch
from jaxtyping import Float
from torch import Tensor


def magnitude_weight(mixture: Float[Tensor, "B F T"], *, logarithmic: bool = True) -> Float[Tensor, "B F T"]:
    """Weight of each bin: `clamp(log(1 + A_mix), 1e-3, 10)` (CLIPSep's public code), or `A_mix` itself (as Eq. 1 prints it)."""
    return torch.log1p(mixture).clamp(1e-3, 10) if logarithmic else mixture


def weighted_bce(logits: Float[Tensor, "B N F T"], target: Float[Tensor, "B N F T"], weight: Float[Tensor, "B F T"]) -> Float[Tensor, ""]:
    """Weighted binary cross-entropy on logits (CLIPSep Eq. 1)."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, weight.unsqueeze(1).expand_as(target))


def ratio_l1(
    masks: Float[Tensor, "B N F T"], target: Float[Tensor, "B N F T"], weight: Float[Tensor, "B F T"] | None = None
) -> Float[Tensor, ""]:
    """`|M̂ − M|`, optionally weighted (VAST Eq. 11)."""
    error = (masks - target).abs()
    return error.mean() if weight is None else (error * weight.unsqueeze(1)).mean()


def magnitude_l1(masks: Float[Tensor, "B N F T"], sources: Float[Tensor, "B N F T"], mixture: Float[Tensor, "B F T"]) -> Float[Tensor, ""]:
    """`|M̂ ⊙ A_mix − A|` on linear magnitudes of the log-frequency grid (HFRA Eq. 4)."""
    return (masks * mixture.unsqueeze(1) - sources).abs().mean()
