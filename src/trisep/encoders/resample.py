"""Sounds brought to the rate that an audio encoder hears at."""

import numpy as np
import soxr
import torch
from jaxtyping import Float
from torch import Tensor


def resample(waveform: Float[Tensor, "B S"], from_hz: int, to_hz: int) -> Float[Tensor, "B S2"]:
    """Each sound at another rate (soxr HQ), on the device it came from; the same tensor where the rates agree."""
    if from_hz == to_hz or not waveform.numel():
        return waveform
    columns = np.ascontiguousarray(waveform.detach().cpu().float().numpy().T)
    resampled = np.ascontiguousarray(soxr.resample(columns, from_hz, to_hz).T)
    return torch.from_numpy(resampled).to(waveform.device)
