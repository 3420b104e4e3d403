"""Triangular mel bands over the bins of a Fourier transform. This file knows no encoder."""

import torch
from jaxtyping import Float
from torch import Tensor


def mel_triangles(
    num_bands: int, *, window_samples: int, sample_rate_hz: int, top_hz: float
) -> Float[Tensor, "bands bins"]:
    """Compute the weights of the FFT bins in Kaldi's mel bands, float32.

    The bands are triangles in mel, equally wide, from 0 Hz to `top_hz`, of height 1. Kaldi's mel is 1127 ln(1 + f / 700
    Hz). Bands that are narrower than a bin may hold none and stay silent.
    """
    bins_hz = torch.arange(window_samples // 2 + 1, dtype=torch.float64) * sample_rate_hz / window_samples
    mels = 1127 * torch.log1p(torch.cat([bins_hz, bins_hz.new_tensor([top_hz])]) / 700)
    width = mels[-1] / (num_bands + 1)
    centres = width * torch.arange(1, num_bands + 1)
    return (1 - (mels[:-1] - centres[:, None]).abs() / width).clamp(min=0).float()
