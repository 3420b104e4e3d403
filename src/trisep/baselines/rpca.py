"""Robust PCA: a spectrogram as a low-rank part, which repeats, and a sparse part; blind and untrained.

Source: Huang, Chen, Smaragdis and Hasegawa-Johnson, "Singing-voice separation from monaural recordings using robust
principal component analysis", ICASSP 2012; solved by the inexact augmented Lagrange multiplier method of Lin, Chen
and Ma 2009 (arXiv:1009.5055, Alg. 5). It was made for a voice over an accompaniment and knows only two parts; HFRA's
table quotes it on instrument duets. The decomposition runs in torch, whose number of threads the caller sets. This
file knows no network.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trisep.errors import ConfigError
from trisep.spectrogram.stft import istft, stft
from trisep.types import SignalSettings

KIND = "classical"
NEEDS = ()
ORDERED = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The paper's settings; † marks those from its authors' code."""

    sparsity_factor: float = 1.0
    """k in λ = k / √max(m, n); the paper tries 0.1 to 2.5 and keeps 1. A larger k makes the sparse part sparser."""
    mask: Literal["binary", "soft"] = "binary"
    """`binary`: a bin goes to the sparse part where |S| > gain · |L| (Eq. 2). `soft` (ours): shares |S| / (|S|
    + gain · |L|)."""
    gain: float = 1.0
    """Factor by which the sparse part has to be stronger than the low-rank one; 1 is the paper's choice."""
    tolerance: float = 1e-7
    """Stop where ‖M − L − S‖ / ‖M‖ (Frobenius) is below this value†."""
    max_iterations: int = 1000
    """Stop after this many iterations at the latest†."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.sparsity_factor, self.gain, self.tolerance, self.max_iterations) <= 0:
            raise ConfigError("sparsity_factor, gain, tolerance and max_iterations must be greater than 0")
        if self.mask not in ("binary", "soft"):
            raise ConfigError(f"mask: expected binary or soft, got {self.mask!r}")


_DEFAULT = Config()


def estimate(
    mixture: Float[np.ndarray, "S"], *, signal: SignalSettings, config: Config = _DEFAULT
) -> Float[np.ndarray, "2 S"]:
    """Compute the low-rank part (accompaniment) and the sparse part (voice) under masks that sum to one.

    Digital silence gives silence. `mixture` is mono at `signal.sample_rate_hz`. The paper's 16 kHz, window 1024 and hop
    256 are this project's default `signal`.
    """
    spectrum = stft(torch.from_numpy(mixture), signal)
    magnitude = spectrum.abs().double()
    if not magnitude.any():
        return np.zeros((2, len(mixture)), mixture.dtype)
    low_rank, sparse = (part.abs() for part in decompose(magnitude, config))
    if config.mask == "binary":
        sparse_mask = (sparse > config.gain * low_rank).double()
    else:
        sparse_mask = sparse / (sparse + config.gain * low_rank).clamp_min(torch.finfo(torch.float64).tiny)
    masks = torch.stack([1 - sparse_mask, sparse_mask]).to(spectrum.real.dtype)
    return istft(masks * spectrum, signal, len(mixture)).numpy()


def decompose(M: Float[Tensor, "m n"], config: Config = _DEFAULT) -> tuple[Float[Tensor, "m n"], Float[Tensor, "m n"]]:
    """Compute L and S that minimise `‖L‖_* + λ ‖S‖₁` subject to `L + S = M`.

    M is any real float64 matrix that is not all zero. Step sizes are those of the public solver: μ starts at 1.25 /
    ‖M‖₂, grows by 1.5 and is held at 10⁷ times its start.
    """
    sparsity = config.sparsity_factor / max(M.shape) ** 0.5
    spectral_norm, frobenius_norm = float(torch.linalg.matrix_norm(M, 2)), float(torch.linalg.matrix_norm(M))
    multiplier = M / max(spectral_norm, float(M.abs().max()) / sparsity)
    step = 1.25 / spectral_norm
    largest_step = 1e7 * step
    low_rank = sparse = torch.zeros_like(M)
    for _ in range(config.max_iterations):
        sparse = torch.nn.functional.softshrink(M - low_rank + multiplier / step, sparsity / step)
        low_rank = _shrink_singular_values(M - sparse + multiplier / step, 1 / step)
        error = M - low_rank - sparse
        multiplier = multiplier + step * error
        step = min(1.5 * step, largest_step)
        if float(torch.linalg.matrix_norm(error)) < config.tolerance * frobenius_norm:
            break
    return low_rank, sparse


def _shrink_singular_values(matrix: Float[Tensor, "m n"], threshold: float) -> Float[Tensor, "m n"]:
    """Move the singular values towards zero by `threshold`, and not beyond it: the nuclear norm's proximal step."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    rank = int((values > threshold).sum())
    shrunk: Tensor = (left[:, :rank] * (values[:rank] - threshold)) @ right[:rank]
    return shrunk
