"""The lineage's logarithmic frequency axis, forth and back, by gather and linear interpolation.

Row y ∈ [−1, 1] of the log grid reads linear position (21^((y+1)/2) − 11)/10; back: 2·log₂₁(10x + 11) − 1. Source: Sound of Pixels'
public code, with aligned corners (spec section 1, which tells what omitting that flag did).
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

_BASE = 21.0


def to_log_frequency(values: Float[Tensor, "*B F T"], num_log_bins: int = 256) -> Float[Tensor, "*B L T"]:
    """Resample F linear STFT bins to `num_log_bins` rows of the log grid."""
    return _interpolate(values, num_log_bins, "log")


def to_linear_frequency(values: Float[Tensor, "*B L T"], num_bins: int) -> Float[Tensor, "*B F T"]:
    """Resample rows of the log grid (a mask, usually) back to `num_bins` linear STFT bins."""
    return _interpolate(values, num_bins, "linear")


def log_row_of_frequency(frequency_ratio: Float[Tensor, "F"], num_log_bins: int = 256) -> Float[Tensor, "F"]:
    """Fractional row of the log grid for frequencies given as a share of Nyquist (0 to 1; beyond 1 is held at the top row)."""
    linear = 2 * frequency_ratio.clamp(0, 1) - 1
    return torch.log(10 * linear + 11) / math.log(_BASE) * (num_log_bins - 1)


def _interpolate(values: Tensor, num_rows: int, axis: str) -> Tensor:
    low, high, weight = _table(values.shape[-2], num_rows, axis, values.device, values.dtype)
    return torch.lerp(values.index_select(-2, low), values.index_select(-2, high), weight)


@lru_cache(maxsize=32)
def _table(num_source: int, num_target: int, axis: str, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the two neighbours of every target row and the weight of the upper one."""
    rows = torch.linspace(-1, 1, num_target, dtype=torch.float64)
    if axis == "log":
        position = (torch.pow(_BASE, (rows + 1) / 2) - 11) / 10
    else:
        position = torch.log(10 * rows + 11) / math.log(_BASE) * 2 - 1
    source = ((position + 1) / 2 * (num_source - 1)).clamp(0, num_source - 1)
    low = source.floor().long()
    high = (low + 1).clamp(max=num_source - 1)
    weight = (source - low).to(dtype).unsqueeze(-1)
    return low.to(device), high.to(device), weight.to(device)
