"""Losses whose estimates are interchangeable: each mixture takes the assignment of least cost.

Source: permutation invariant training (Yu et al. 2017), as in CLIPSep's baseline (Eq. 7). The assignment is
found for every mixture of a batch on its own. Our deviation: the papers write a sum over sources; here it is the
mean, which only rescales.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from trisep.losses import LossTerms
from trisep.losses.masks import magnitude_weight
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.spectrogram.masks import binary_mask
from trisep.types import SpectralMixture


@dataclass(frozen=True, kw_only=True, slots=True)
class PermutationInvariantLoss:
    """`permutation_invariant_bce` of a model that takes no query (CLIPSep's baseline PIT)."""

    logarithmic_weight: bool = True
    """As in `MaskLoss`."""

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Compute the least cost over the assignments."""
        output = model(log_magnitude(batch.magnitude), batch.mixture.query)
        weight = magnitude_weight(batch.magnitude, logarithmic=self.logarithmic_weight)
        return LossTerms(
            {"mask": permutation_invariant_bce(output.logits, binary_mask(batch.sources, batch.magnitude), weight)}
        )


def cheapest_assignment(costs: Float[Tensor, "B N J"]) -> Int[Tensor, "B N"]:
    """Find for each mixture the estimate j_i of each source i so that `Σ_i costs[i, j_i]` is least.

    No estimate is taken twice. The result is exact for any N ≤ J (by the Hungarian method, so without a search over N!
    permutations). A cost that is not a number does not stop the search: it stays in the loss, where training notices
    it. Raises ValueError with fewer estimates than sources.
    """
    _, num_sources, num_estimates = costs.shape
    if num_estimates < num_sources:
        raise ValueError(f"expected at least as many estimates as sources, got {num_estimates} for {num_sources}")
    tables = torch.nan_to_num(costs.detach().double()).cpu().numpy()
    columns = [torch.from_numpy(linear_sum_assignment(table)[1]) for table in tables]
    return torch.stack(columns).to(costs.device)


def assigned_mean(costs: Float[Tensor, "B N J"]) -> Float[Tensor, ""]:
    """Average the costs that `cheapest_assignment` picks, over mixtures and sources.

    The gradient flows through these costs alone.
    """
    return costs.gather(2, cheapest_assignment(costs).unsqueeze(2)).mean()


def permutation_costs(
    logits: Float[Tensor, "B J F T"], target: Float[Tensor, "B N F T"], weight: Float[Tensor, "B F T"]
) -> Float[Tensor, "B N J"]:
    """Compute the weighted binary cross-entropy of every estimate (on logits) with every mask, mean over bins."""
    columns = []
    for estimate in logits.unsqueeze(2).unbind(dim=1):
        bins = torch.nn.functional.binary_cross_entropy_with_logits(
            estimate.expand_as(target), target, reduction="none"
        )
        columns.append((bins * weight.unsqueeze(1)).mean(dim=(2, 3)))
    return torch.stack(columns, dim=2)


def permutation_invariant_bce(
    logits: Float[Tensor, "B J F T"], target: Float[Tensor, "B N F T"], weight: Float[Tensor, "B F T"]
) -> Float[Tensor, ""]:
    """Compute the least weighted binary cross-entropy over all assignments of masks to estimates (CLIPSep Eq. 7).

    The paper has two sources and two estimates; any N ≤ J is allowed, and surplus estimates are free.
    """
    return assigned_mean(permutation_costs(logits, target, weight))
