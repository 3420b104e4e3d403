"""Short-time Fourier transform and its inverse, with the settings of one model. It does not know what the sound is for."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from trisep.types import SignalSettings


def num_frames(num_samples: int, settings: SignalSettings) -> int:
    """Frames of the centred transform of `num_samples` samples: 1 + ⌊S / hop⌋."""
    return 1 + num_samples // settings.hop_samples


def stft(waveform: Float[Tensor, "*B S"], settings: SignalSettings) -> Complex[Tensor, "*B F T"]:
    """Centred STFT with a periodic Hann window, zero-padded at both ends.

    Source: spec section 1 (all papers). Deviation: zeros instead of a reflected border, so that the transform of a file does not depend
    on how it is cut into segments, and a clip may be shorter than half a window.
    """
    window = torch.hann_window(settings.window_samples, device=waveform.device, dtype=waveform.dtype)
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrum = torch.stft(
        flat, settings.window_samples, settings.hop_samples, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return spectrum.reshape(*waveform.shape[:-1], *spectrum.shape[-2:])


def istft(spectrum: Complex[Tensor, "*B F T"], settings: SignalSettings, num_samples: int) -> Float[Tensor, "*B S"]:
    """Inverse of `stft`, `num_samples` long; exact up to rounding where the spectrum was not changed."""
    window = torch.hann_window(settings.window_samples, device=spectrum.device, dtype=spectrum.real.dtype)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    waveform = torch.istft(flat, settings.window_samples, settings.hop_samples, window=window, center=True, length=num_samples)
    return waveform.reshape(*spectrum.shape[:-2], num_samples)
