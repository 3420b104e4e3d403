"""Co-Separation's losses (Gao & Grauman, ICCV 2019, section 3.3), and what AVSGS (Chatterjee et al., ICCV 2021) adds.

The masks of a video's objects sum to the video's own ratio mask: nothing says which object makes which sound of it.
What a classifier hears in each separated sound is the class that the detector saw.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from trisep.losses import LossTerms
from trisep.losses.masks import MaskLoss
from trisep.losses.permutation import cheapest_assignment
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.types import SpectralMixture


@dataclass(frozen=True, kw_only=True, slots=True)
class CoSeparationLoss:
    """`L_co-separation + λ L_consistency (+ λ₂ L_orthogonality)` for a model whose masks are sums over parts."""

    mask: MaskLoss = field(default_factory=lambda: MaskLoss(kind="ratio_l1"))
    """The loss between the sums and the masks of the videos; weighted by log(1 + A_mix), as in the public code."""
    consistency_weight: float = 0.05
    """λ."""
    labels: Literal["own", "any_order"] = "own"
    """Whether a part has the label of its own object, or the parts of a video may have its labels in any order."""
    orthogonality_weight: float = 0.0
    """λ₂, of the squared cosine between the vectors of a video's parts; 0 in Co-Separation."""

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Run one pass in training mode and compute the terms."""
        output = model(log_magnitude(batch.magnitude), batch.mixture.query)
        terms, parts = self.mask.terms(output, batch), output.parts
        assert parts is not None, "a model of boxes returns its parts in training"
        heard = consistency(parts.label_logits, parts.labels, in_any_order=self.labels == "any_order")
        terms["consistency"] = self.consistency_weight * heard
        if self.orthogonality_weight:
            terms["orthogonality"] = self.orthogonality_weight * orthogonality(parts.vectors, parts.labels)
        return LossTerms(terms, {"num_parts": (parts.labels >= 0).sum(dim=-1).float().mean()})


def consistency(
    label_logits: Float[Tensor, "B Q P L"], labels: Int[Tensor, "B Q P"], *, in_any_order: bool = False
) -> Float[Tensor, ""]:
    """Compute the cross-entropy of the labels, mean over the parts that there are (label −1: no part).

    With `in_any_order` each query takes the order of its labels that costs least.
    """
    is_there = labels >= 0
    costs = -log_softmax(label_logits.float(), dim=-1)
    wanted = labels.clamp_min(0).unsqueeze(-2).expand(*labels.shape[:2], labels.shape[-1], -1)
    # [B, Q, part, place in the list of labels]; parts and labels end at the same place, and pairs beyond cost nothing.
    both = is_there.unsqueeze(-1) & is_there.unsqueeze(-2)
    table = costs.gather(-1, wanted)
    if in_any_order:
        far = torch.where(both, table, torch.where(is_there.unsqueeze(-1) | is_there.unsqueeze(-2), 1e6, 0.0))
        chosen = cheapest_assignment(far.flatten(0, 1)).view(labels.shape)
        cost = table.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    else:
        cost = table.diagonal(dim1=-2, dim2=-1)
    return (cost * is_there).sum() / is_there.sum()


def orthogonality(vectors: Float[Tensor, "B Q P D"], labels: Int[Tensor, "B Q P"]) -> Float[Tensor, ""]:
    """Compute the squared cosine between different parts of a query, summed over pairs; mean over the queries."""
    unit = normalize(vectors.float(), dim=-1) * (labels >= 0).unsqueeze(-1)
    cosines = unit @ unit.transpose(-1, -2)
    return cosines.triu(diagonal=1).square().sum(dim=(-1, -2)).mean()
