"""AudioScope's loss (Tzinis et al., ICLR 2021): mixture invariant training, and a classifier of what is on the screen.

Nobody says which of the separated sounds the picture of a recording shows. Those that were assigned to the other
recording are taken not to be shown; of its own at least one is, and which ones is left to the classifier (the paper's
"active combinations"). Our deviation: the paper asks with the picture of one of two recordings, here the pictures of
all ask.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from trisep.losses import LossTerms
from trisep.losses.mixture_invariant import MixtureInvariantLoss, assignment_costs
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.types import SpectralMixture


@dataclass(frozen=True, kw_only=True, slots=True)
class OnScreenLoss(MixtureInvariantLoss):
    """`mixture_invariant` of the sounds, and `active_combinations` of what the pictures show."""

    on_screen_weight: float = 1.0
    """Weight of the classifier's cross-entropy, in decibels for each nat; ours."""

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Split the mixture in training mode, assign the sounds, and compare the pictures with the assignment."""
        sounds = model(log_magnitude(batch.magnitude), batch.mixture.query).sounds
        assert sounds is not None, "a model of on-screen sounds returns them in training"
        num_recordings = batch.sources.shape[1]
        estimates = sounds.masks * batch.magnitude.unsqueeze(1)
        costs, ways = assignment_costs(estimates, batch.sources, max_snr_db=self.max_snr_db)
        least = costs.min(dim=1)
        heard = active_combinations(sounds.on_screen[:, :num_recordings], ways[least.indices] > 0)
        share = sounds.on_screen.detach().sigmoid().mean()
        return LossTerms({"mask": least.values.mean(), "on_screen": self.on_screen_weight * heard}, {"shown": share})


def active_combinations(logits: Float[Tensor, "B N J"], is_own: Bool[Tensor, "B N J"]) -> Float[Tensor, ""]:
    """Compute the least cross-entropy over all targets that a recording may have, mean over sounds, N and batch.

    A target is 0 for sounds that are not the recording's own, and 1 for at least one of its own; where it has none, 0.
    """
    logits = logits.float()
    # Each own sound is free to be shown or not, but the least unlikely one is shown where all are taken not to be.
    apart = torch.where(is_own, softplus(-logits.abs()), softplus(logits)).sum(dim=-1)
    forced = logits.neg().relu().masked_fill(~is_own, torch.inf).amin(dim=-1)
    together = apart + torch.where(is_own.any(dim=-1), forced, 0.0)
    return together.mean() / logits.shape[-1]
