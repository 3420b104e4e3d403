"""Noise-invariant training (CLIPSep section 3.2): noise masks may take sound that no query explains.

The regulariser penalises them above a level. The masks here are probabilities, because two of them are added before
they are compared. Our deviation from the paper: the mean over sources instead of their sum, as in the public code, so
that λ = 0.1 weighs the regulariser as it did there.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.losses import LossTerms
from trisep.losses.masks import magnitude_weight
from trisep.losses.permutation import assigned_mean
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.spectrogram.masks import binary_mask
from trisep.types import SpectralMixture

PAPER_LEVEL = 0.25
"""γ of the paper's main results (section 4.3)."""
PAPER_WEIGHT = 0.1
"""λ of the paper (section 3.2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseInvariantLoss:
    """CLIPSep-NIT's loss; it logs the noise activation that the regulariser holds at γ."""

    level: float | None = PAPER_LEVEL
    """γ; None leaves the regulariser out."""
    regularization: float = PAPER_WEIGHT
    """λ."""
    logarithmic_weight: bool = True
    """As in `MaskLoss`."""

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Compute the terms: `mask` is L_NIT, `noise` is λ L_REG."""
        output = model(log_magnitude(batch.magnitude), batch.mixture.query)
        weight = magnitude_weight(batch.magnitude, logarithmic=self.logarithmic_weight)
        truth = binary_mask(batch.sources, batch.magnitude)
        return self.terms(output.masks[:, : truth.shape[1]], output.noise_masks, truth, weight)

    def terms(
        self,
        masks: Float[Tensor, "B N F T"],
        noise_masks: Float[Tensor, "B J F T"],
        target: Float[Tensor, "B N F T"],
        weight: Float[Tensor, "B F T"],
    ) -> LossTerms:
        """Compute the two terms from given masks and noise masks."""
        terms = {"mask": noise_invariant_bce(masks, noise_masks, target, weight)}
        if self.level is not None:
            terms["noise"] = self.regularization * noise_regularizer(noise_masks, self.level)
        return LossTerms(terms, {"noise_activation": noise_activation(noise_masks)})


def noise_invariant_costs(
    masks: Float[Tensor, "B N F T"],
    noise_masks: Float[Tensor, "B J F T"],
    target: Float[Tensor, "B N F T"],
    weight: Float[Tensor, "B F T"],
) -> Float[Tensor, "B N J"]:
    """Compute `WBCE(M_i, min(1, M̂^Q_i + M̂^N_j))` of every query mask i with every noise mask j, mean over bins.

    The computation is in single precision at least. Where the sum reaches 1 over a target of 0, a bin costs 100 × its
    weight (the logarithm is cut off there) and has no gradient.
    """
    precision = torch.promote_types(masks.dtype, torch.float32)
    query, noise, truth, weight = (values.to(precision) for values in (masks, noise_masks, target, weight))
    columns = []
    with torch.autocast(masks.device.type, enabled=False):
        for one in noise.unsqueeze(2).unbind(dim=1):
            total = query + one
            # This is not clamp, which passes the gradient at exactly 1, where that of the logarithm is unbounded.
            bounded = torch.where(total < 1, total, 1.0)
            bins = torch.nn.functional.binary_cross_entropy(
                bounded, truth, weight.unsqueeze(1).expand_as(truth), reduction="none"
            )
            columns.append(bins.mean(dim=(2, 3)))
    return torch.stack(columns, dim=2)


def noise_invariant_bce(
    masks: Float[Tensor, "B N F T"],
    noise_masks: Float[Tensor, "B J F T"],
    target: Float[Tensor, "B N F T"],
    weight: Float[Tensor, "B F T"],
) -> Float[Tensor, ""]:
    """Compute L_NIT (Eq. 2): the least cost over all ways to pair query masks with noise masks.

    The pairing is found for each mixture on its own. The paper has J = N noise heads, and mostly N = 2; any N ≤ J is
    allowed. Masks lie in [0, 1].
    """
    return assigned_mean(noise_invariant_costs(masks, noise_masks, target, weight))


def noise_activation(noise_masks: Float[Tensor, "B J F T"]) -> Float[Tensor, ""]:
    """Compute `Σ_j mean(M̂^N_j)`, 0 to J, averaged over the batch; the regulariser holds it at γ (Fig. 11)."""
    return noise_masks.to(torch.promote_types(noise_masks.dtype, torch.float32)).mean(dim=(0, 2, 3)).sum()


def noise_regularizer(noise_masks: Float[Tensor, "B J F T"], level: float = PAPER_LEVEL) -> Float[Tensor, ""]:
    """Compute L_REG (Eq. 6): `max(0, Σ_j mean(M̂^N_j) − γ)`.

    The hinge is on the mean of the batch, not on that of each mixture.
    """
    return (noise_activation(noise_masks) - level).clamp_min(0)
