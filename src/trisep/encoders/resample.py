"""Resampling of sounds to the rate that an audio encoder reads. This file knows no encoder."""

import numpy as np
import soxr
import torch
from jaxtyping import Float
from torch import Tensor


def resample(waveform: Float[Tensor, "B S"], from_hz: int, to_hz: int) -> Float[Tensor, "B S2"]:
    """Resample each sound (soxr HQ) on the device it came from; where the rates agree, return the same tensor.

    Of a sound that is shorter than one sample at the new rate, the first sample is left.
    """
    if from_hz == to_hz or not waveform.numel():
        return waveform
    columns = np.ascontiguousarray(waveform.detach().cpu().float().numpy().T)
    resampled = np.ascontiguousarray(soxr.resample(columns, from_hz, to_hz).T)
    return torch.from_numpy(resampled).to(waveform.device) if resampled.shape[1] else waveform[:, :1]
