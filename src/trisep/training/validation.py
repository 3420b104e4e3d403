"""Validation during training: the improvement of SI-SDR, on mixtures that never change.

The queries are pictures where the model reads them.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from trisep.baselines import best_order
from trisep.metrics.scale_invariant import si_sdr
from trisep.recipes import Recipe
from trisep.separation.infer import estimate, infer, plan_windows
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.training.data import MixtureDataset, to_mixture
from trisep.types import QueryEmbedding, SignalSettings


@torch.no_grad()
def validate(model: Any, dataset: MixtureDataset, recipe: Recipe, device: torch.device) -> dict[str, float]:
    """Return the mean SI-SDR improvement in dB over the sources of the validation mixtures, and how many improved.

    The second number is a share, 0 to 1. Sources that are silent, or whose estimate is, are left out. Masks come from
    the inference chain that `separate` uses. The estimates of a model that answers no query are put in the order that
    fits the sources best.
    """
    improvements = []
    for index in range(recipe.training.num_validation_mixtures):
        mixture = to_mixture({key: value.unsqueeze(0).to(device) for key, value in dataset[index].items()})
        sources, total = mixture.sources[0].cpu().numpy(), mixture.waveform[0].cpu().numpy()
        estimates = _estimates(model, total, mixture.query, recipe.signal, device)
        if not model.contract.answers_queries:
            estimates = estimates[best_order(references=sources, estimates=estimates)]
        for source, stem in zip(sources, estimates, strict=True):
            if (source**2).mean() > 1e-7 and (stem**2).mean() > 1e-12:
                before = si_sdr(reference=source, estimate=total)
                improvements.append(float(si_sdr(reference=source, estimate=stem) - before))
    count = max(1, len(improvements))
    return {"si_sdri": sum(improvements) / count, "improved_share": sum(value > 0 for value in improvements) / count}


def _estimates(
    model: Any, total: Float[np.ndarray, "S"], query: QueryEmbedding, signal: SignalSettings, device: torch.device
) -> Float[np.ndarray, "Q S"]:
    """Separate one mixture, through masks or as samples, by the model's domain."""
    contract = model.contract
    if contract.domain == "waveform":
        context = contract.context_samples
        return estimate(total, lambda samples: model(samples, query), signal, context_samples=context, device=device)
    plan = plan_windows(signal, time_multiple=contract.time_multiple)
    masks = infer(total, lambda log_magnitude: model(log_magnitude, query), signal, plan, device=device).masks.cpu()
    return apply_masks(stft(torch.from_numpy(total)[None], signal), masks[None], signal, len(total))[0].numpy()
