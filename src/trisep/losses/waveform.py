"""Losses between the samples of the estimates and those of the sources, for models of the domain `waveform`.

Wave-U-Net takes the squared error (Stoller et al. 2018), ResUNetDecouple+ the absolute error (Kong et al. 2021). Our
deviation: the sources of this project have no order, so a model that answers no query is compared in the assignment of
least cost.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from trisep.losses import LossTerms, unwrapped
from trisep.losses.permutation import assigned_mean
from trisep.types import SpectralMixture


@dataclass(frozen=True, kw_only=True, slots=True)
class WaveformLoss:
    """`waveform_costs`, of each source with the estimate of its query or with the one that fits best."""

    kind: Literal["squared", "absolute"] = "squared"
    """Mean squared error (L2) or mean absolute error (L1)."""

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Estimate the sources and compare them with the part of the truth that the estimates cover, its middle."""
        estimates = model(batch.mixture.waveform, batch.mixture.query)
        context = unwrapped(model).contract.context_samples
        truth = batch.mixture.sources[..., context : context + estimates.shape[-1]]
        costs = waveform_costs(estimates, truth, kind=self.kind)
        answers = unwrapped(model).contract.answers_queries
        cost = costs.diagonal(dim1=1, dim2=2).mean() if answers else assigned_mean(costs)
        return LossTerms({"waveform": cost})


def waveform_costs(
    estimates: Float[Tensor, "B J S"], sources: Float[Tensor, "B N S"], *, kind: Literal["squared", "absolute"]
) -> Float[Tensor, "B N J"]:
    """Compute the error of every estimate against every source, mean over samples."""
    errors = estimates.unsqueeze(1) - sources.unsqueeze(2)
    return (errors.square() if kind == "squared" else errors.abs()).mean(dim=-1)
