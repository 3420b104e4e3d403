"""Mixture invariant training (Wisdom et al., NeurIPS 2020): it learns from sums of recordings that are mixtures.

A model splits the sum of N recordings into J sounds, more than it may need, without a query. Each of them is assigned
to one recording, as a whole, and the recordings are compared with the sums of what they were assigned. Nothing says how
many sounds a recording holds. Our deviations: masks on the papers' U-Net in the place of TDCN++, so that the loss
compares magnitudes on the log-frequency grid and not waveforms; the outputs are scaled to sum to the mixture where they
exceed it, in the place of the paper's projection.
"""

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.losses import LossTerms
from trisep.losses.noise_invariant import PAPER_LEVEL, noise_activation, noise_regularizer
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.types import SpectralMixture

_MAX_ASSIGNMENTS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureInvariantLoss:
    """The least loss over all assignments of the model's sounds to the recordings (Eq. 2 and 3)."""

    max_snr_db: float = 30.0
    """SNR beyond which a better estimate no longer counts; the paper's value."""

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 < self.max_snr_db < 200:
            raise ConfigError(f"max_snr_db: expected above 0 and below 200, got {self.max_snr_db}")

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Split the mixture and compare every recording with its share."""
        masks = model(log_magnitude(batch.magnitude), batch.mixture.query).masks
        sounds = consistent(masks) * batch.magnitude.unsqueeze(1)
        return LossTerms({"mask": mixture_invariant(sounds, batch.sources, max_snr_db=self.max_snr_db)})


@dataclass(frozen=True, kw_only=True, slots=True)
class QueriedMixtureInvariantLoss:
    """The same for a model with query and noise heads (CLIPSep-NIT): the sound of a query belongs to its recording.

    The sounds of the noise heads are assigned freely. They alone could explain all recordings, so their masks are held
    at a level as in noise-invariant training. The combination is ours; CLIPSep's Table 1 names MixIT without queries.
    """

    max_snr_db: float = 30.0
    """As in `MixtureInvariantLoss`."""
    level: float = PAPER_LEVEL
    """γ of `noise_regularizer`."""
    regularization: float = 10.0
    """Decibels that the noise heads cost for each unit above γ."""

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Split the mixture in training mode and compare every recording with its share."""
        output = model(log_magnitude(batch.magnitude), batch.mixture.query)
        num_sources = batch.sources.shape[1]
        sounds = consistent(torch.cat([output.masks[:, :num_sources], output.noise_masks], dim=1))
        error = mixture_invariant(
            sounds * batch.magnitude.unsqueeze(1), batch.sources, max_snr_db=self.max_snr_db, num_queried=num_sources
        )
        excess = self.regularization * noise_regularizer(output.noise_masks, self.level)
        return LossTerms({"mask": error, "noise": excess}, {"noise_activation": noise_activation(output.noise_masks)})


def consistent(masks: Float[Tensor, "B J F T"]) -> Float[Tensor, "B J F T"]:
    """Scale masks whose sum exceeds 1 so that it is 1: no more is given out than there is."""
    return masks / masks.sum(dim=1, keepdim=True).clamp_min(1)


def mixture_invariant(
    sounds: Float[Tensor, "B J F T"],
    recordings: Float[Tensor, "B N F T"],
    *,
    max_snr_db: float = 30.0,
    num_queried: int = 0,
) -> Float[Tensor, ""]:
    """Compute the mean over the batch of `min_A Σ_n L(x_n, Σ_j A_nj s_j) / N`, over all N^J ways to assign (Eq. 2).

    `L(y, ŷ) = 10 log₁₀(1 + ‖y − ŷ‖² / (τ ‖y‖²))` with τ = 10^(−max_snr_db / 10): how many decibels the SNR is short of
    `max_snr_db`, at least 0 (Eq. 3, less constants). A recording's power is taken as at least 1e-8 a bin, so that
    a silent one costs nothing once nothing is assigned to it. The first `num_queried` sounds belong to the recordings
    of their number, and only the others are assigned. Raises ConfigError beyond 4096 assignments.
    """
    costs, _ = assignment_costs(sounds, recordings, max_snr_db=max_snr_db, num_queried=num_queried)
    return costs.amin(dim=1).mean()


def assignment_costs(
    sounds: Float[Tensor, "B J F T"],
    recordings: Float[Tensor, "B N F T"],
    *,
    max_snr_db: float = 30.0,
    num_queried: int = 0,
) -> tuple[Float[Tensor, "B A"], Float[Tensor, "A N J"]]:
    """Compute the loss of each of the A ways to assign, as in `mixture_invariant`, and these ways: 1 where a sound
    belongs to a recording, else 0. Raises ConfigError beyond 4096 of them.
    """
    num_sounds, num_recordings = sounds.shape[1] - num_queried, recordings.shape[1]
    if num_recordings**num_sounds > _MAX_ASSIGNMENTS:
        raise ConfigError(
            f"{num_sounds} sounds have {num_recordings**num_sounds} ways to belong to {num_recordings} recordings, and "
            f"all are tried: expected at most {_MAX_ASSIGNMENTS}; lower model.num_sources"
        )
    precision = torch.promote_types(sounds.dtype, torch.float32)
    given, truth = sounds.to(precision).flatten(2), recordings.to(precision).flatten(2)
    # ‖y − Σ s‖² = ‖y‖² − 2 Σ y·s + Σ s·s, so one table of products serves all assignments.
    among, between = given @ given.transpose(1, 2), truth @ given.transpose(1, 2)
    power = truth.square().sum(dim=2)
    floor = power.clamp_min(1e-8 * truth.shape[2])
    ways = product(range(num_recordings), repeat=num_sounds)
    choices = torch.tensor([(*range(num_queried), *free) for free in ways], device=sounds.device)
    assigned = torch.nn.functional.one_hot(choices, num_recordings).to(precision).transpose(1, 2)
    shares = torch.einsum("anj,bjk,ank->ban", assigned, among, assigned)
    error = power.unsqueeze(1) - 2 * torch.einsum("bnj,anj->ban", between, assigned) + shares
    relative = 10 ** (max_snr_db / 10) * error.clamp_min(0) / floor.unsqueeze(1)
    return (10 * torch.log10(1 + relative)).mean(dim=2), assigned
