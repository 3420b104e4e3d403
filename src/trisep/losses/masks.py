"""Losses between predicted masks and mask targets (spec section 2).

All reduce by the mean over bins, sources and batch.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from trisep.losses import LossTerms
from trisep.spectrogram.log_frequency import log_magnitude, to_linear_frequency
from trisep.spectrogram.masks import binary_mask, ratio_mask
from trisep.types import MaskOutput, QueryEmbedding, SpectralMixture


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskLoss:
    """One of the papers' mask losses, for queries that are in the mixture and for absent queries."""

    kind: Literal["weighted_bce", "ratio_l1", "magnitude_l1", "log_error"] = "weighted_bce"
    """CLIPSep's loss on binary masks (Eq. 1), VAST's on ratio masks (Eq. 11), HFRA's on magnitudes (Eq. 4), or the
    estimates' error in decibels (ours, after MixIT's Eq. 2)."""
    logarithmic_weight: bool = True
    """Weigh bins by log(1 + A_mix), as in the public code. False weighs by A_mix, as CLIPSep prints; `ratio_l1`
    then has no weight."""
    absent_weight: float = 1.0
    """Weight of the loss on absent queries, where the mixing draws any; `ratio_l1` ignores them."""

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Predict the masks of every query of the batch and compare them with the targets."""
        return LossTerms(self.terms(model(log_magnitude(batch.magnitude), batch.mixture.query), batch))

    def terms(self, output: MaskOutput, batch: SpectralMixture) -> dict[str, Tensor]:
        """Compute `mask`, and `absent` where there are absent queries; the first N masks are those of the sources."""
        num_sources, mixture = batch.sources.shape[1], batch.magnitude
        masks, absent = output.masks[:, :num_sources], output.masks[:, num_sources:]
        if self.kind == "ratio_l1":
            return {
                "mask": ratio_l1(
                    masks, ratio_mask(batch.sources), magnitude_weight(mixture) if self.logarithmic_weight else None
                )
            }
        if self.kind == "log_error":
            assert batch.spectra is not None and batch.spectrum is not None
            terms = {"mask": log_error(masks, batch.spectra, batch.spectrum)}
            if absent.shape[1]:
                silence = torch.zeros_like(batch.spectra[:, :1]).expand(-1, absent.shape[1], -1, -1)
                terms["absent"] = self.absent_weight * log_error(absent, silence, batch.spectrum)
            return terms
        unlike = _dissimilarity(batch.mixture.query, num_sources)[:, None, None] if absent.shape[1] else 1.0
        if self.kind == "magnitude_l1":
            terms = {"mask": magnitude_l1(masks, batch.sources, mixture)}
            if absent.shape[1]:
                terms["absent"] = self.absent_weight * magnitude_l1(absent, torch.zeros_like(absent), mixture * unlike)
            return terms
        assert output.logits is not None
        weight = magnitude_weight(mixture, logarithmic=self.logarithmic_weight)
        terms = {"mask": weighted_bce(output.logits[:, :num_sources], binary_mask(batch.sources, mixture), weight)}
        if absent.shape[1]:
            silence = torch.zeros_like(absent)
            terms["absent"] = self.absent_weight * weighted_bce(
                output.logits[:, num_sources:], silence, weight * unlike
            )
        return terms


def _dissimilarity(query: QueryEmbedding, num_sources: int) -> Float[Tensor, "B"]:
    """Compute how unlike the absent queries of each mixture are to its sources.

    It is 1 below a cosine of ½ and falls to 0 at a cosine of 1, where the query is not absent.
    """
    assert query.vectors is not None
    unit = nn.functional.normalize(query.vectors, dim=-1)
    cosine = (unit[:, num_sources:] @ unit[:, :num_sources].transpose(1, 2)).amax(dim=(1, 2))
    return 1 - 2 * (cosine - 0.5).clamp_min(0)


def magnitude_weight(mixture: Float[Tensor, "B F T"], *, logarithmic: bool = True) -> Float[Tensor, "B F T"]:
    """Compute the weight of each bin.

    It is `clamp(log(1 + A_mix), 1e-3, 10)` (CLIPSep's public code), or `A_mix` itself (as Eq. 1 prints it).
    """
    return torch.log1p(mixture).clamp(1e-3, 10) if logarithmic else mixture


def weighted_bce(
    logits: Float[Tensor, "B N F T"], target: Float[Tensor, "B N F T"], weight: Float[Tensor, "B F T"]
) -> Float[Tensor, ""]:
    """Compute the weighted binary cross-entropy on logits (CLIPSep Eq. 1)."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, weight.unsqueeze(1).expand_as(target))


def ratio_l1(
    masks: Float[Tensor, "B N F T"], target: Float[Tensor, "B N F T"], weight: Float[Tensor, "B F T"] | None = None
) -> Float[Tensor, ""]:
    """Compute `|M̂ − M|`, optionally weighted (VAST Eq. 11)."""
    error = (masks - target).abs()
    return error.mean() if weight is None else (error * weight.unsqueeze(1)).mean()


def magnitude_l1(
    masks: Float[Tensor, "B N F T"], sources: Float[Tensor, "B N F T"], mixture: Float[Tensor, "B F T"]
) -> Float[Tensor, ""]:
    """Compute `|M̂ ⊙ A_mix − A|` on linear magnitudes of the log-frequency grid (HFRA Eq. 4)."""
    return (masks * mixture.unsqueeze(1) - sources).abs().mean()


def log_error(
    masks: Float[Tensor, "B N 256 T"],
    sources: Complex[Tensor, "B N F T"],
    mixture: Complex[Tensor, "B F T"],
    *,
    floor: float = 1e-3,
    quietest: float = 1e-4,
) -> Float[Tensor, ""]:
    """Compute the energy of `M̂ ⊙ X − S` over that of `S`, in dB: the negative SNR of the estimates.

    It counts every source alike, loud or soft, as the scores do. `floor` bounds the reward at 30 dB (Wisdom et al.
    2020, Eq. 2). Our deviations: the energies are those of the STFT, which by Parseval's theorem are nearly those of
    the samples; and a source counts for at least `quietest` of the mixture's energy, so that silence is a target, too.
    """
    with torch.no_grad():
        power = _energy(mixture)
        in_phase = sources.real * mixture.real.unsqueeze(1) + sources.imag * mixture.imag.unsqueeze(1)
        least = quietest * power.sum(dim=(1, 2)).unsqueeze(1)
        energy = _energy(sources).sum(dim=(2, 3))
    linear = to_linear_frequency(masks, mixture.shape[-2])
    error = energy + (linear * (linear * power.unsqueeze(1) - 2 * in_phase)).sum(dim=(2, 3))
    return 10 * torch.log10(error.clamp_min(0) / (energy + least) + floor).mean()


def _energy(spectrum: Complex[Tensor, "*B F T"]) -> Float[Tensor, "*B F T"]:
    return spectrum.real.square() + spectrum.imag.square()
