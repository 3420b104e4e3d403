"""Validation during training: the improvement of SI-SDR, on mixtures that never change.

The queries are pictures where the model reads them.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trisep.baselines import best_order
from trisep.metrics.scale_invariant import si_sdr
from trisep.recipes import Recipe
from trisep.separation.infer import infer, plan_windows
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.training.data import MixtureDataset, to_mixture
from trisep.types import MaskOutput


@torch.no_grad()
def validate(model: Any, dataset: MixtureDataset, recipe: Recipe, device: torch.device) -> dict[str, float]:
    """Return the mean SI-SDR improvement in dB over the sources of the validation mixtures, and how many improved.

    The second number is a share, 0 to 1. Sources that are silent, or whose estimate is, are left out. Masks come from
    the inference chain that `separate` uses. The estimates of a model that answers no query are put in the order that
    fits the sources best.
    """
    plan = plan_windows(recipe.signal, time_multiple=model.contract.time_multiple)
    improvements = []
    for index in range(recipe.training.num_validation_mixtures):
        mixture = to_mixture({key: value.unsqueeze(0).to(device) for key, value in dataset[index].items()})

        def network(log_magnitude: Float[Tensor, "B 1 256 T"], query: Any = mixture.query) -> MaskOutput:
            """Run the model with the queries of this mixture."""
            output: MaskOutput = model(log_magnitude, query)
            return output

        sources, total = mixture.sources[0].cpu().numpy(), mixture.waveform[0].cpu().numpy()
        masks = infer(total, network, recipe.signal, plan, device=device).masks.cpu()
        estimates = apply_masks(
            stft(torch.from_numpy(total)[None], recipe.signal), masks[None], recipe.signal, len(total)
        )[0].numpy()
        if not model.contract.answers_queries:
            estimates = estimates[best_order(references=sources, estimates=estimates)]
        for source, estimate in zip(sources, estimates, strict=True):
            if (source**2).mean() > 1e-7 and (estimate**2).mean() > 1e-12:
                improvements.append(
                    float(si_sdr(reference=source, estimate=estimate) - si_sdr(reference=source, estimate=total))
                )
    count = max(1, len(improvements))
    return {"si_sdri": sum(improvements) / count, "improved_share": sum(value > 0 for value in improvements) / count}
