"""Validation while training: the improvement of SI-SDR, under image queries where the model takes them, on mixtures that never change."""

import torch
from torch import nn

from trisep.baselines import best_order
from trisep.metrics.scale_invariant import si_sdr
from trisep.recipes import Recipe
from trisep.spectrogram.masks import apply_masks, network_input, pad_frames
from trisep.spectrogram.stft import stft
from trisep.training_data import MixtureDataset, to_mixture


@torch.no_grad()
def validate(model: nn.Module, dataset: MixtureDataset, recipe: Recipe, device: torch.device) -> dict[str, float]:
    """Mean SI-SDR improvement in dB over the sources of the validation mixtures; those of which a source is silent are left out.

    The estimates of a model that answers no query (`oracle_assignment`) are put in the order that fits the sources best.
    """
    improvements = []
    for index in range(recipe.training.num_validation_mixtures):
        batch = {key: value.unsqueeze(0).to(device) for key, value in dataset[index].items()}
        mixture = to_mixture(batch)
        spectrum = stft(mixture.waveform, recipe.signal)
        log_magnitude = pad_frames(network_input(spectrum.abs(), recipe.signal), model.time_multiple)  # type: ignore[arg-type]
        masks = model(log_magnitude, mixture.query).masks[..., : spectrum.shape[-1]]
        estimates = apply_masks(spectrum, masks, recipe.signal, mixture.waveform.shape[-1])[0].cpu().numpy()
        sources, heard = mixture.sources[0].cpu().numpy(), mixture.waveform[0].cpu().numpy()
        if getattr(model, "oracle_assignment", False):
            estimates = estimates[best_order(references=sources, estimates=estimates)]
        for source, estimate in zip(sources, estimates, strict=True):
            if (source**2).mean() > 1e-7 and (estimate**2).mean() > 1e-12:
                improvements.append(float(si_sdr(reference=source, estimate=estimate) - si_sdr(reference=source, estimate=heard)))
    count = max(1, len(improvements))
    return {"si_sdri": sum(improvements) / count, "improved_share": sum(value > 0 for value in improvements) / count}
