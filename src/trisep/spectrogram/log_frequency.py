"""The logarithmic frequency axis of the networks: magnitudes onto it, and masks back from it, also at another rate.

Row y ∈ [−1, 1] of the log grid reads the linear position (21^((y+1)/2) − 11)/10. The way back is 2·log₂₁(10x + 11) − 1.
Both are a gather and a linear interpolation. Source: the public code of Sound of Pixels, with aligned corners (spec
section 1, which describes the effect of omitting that flag).

`MaskGrid` reads masks of the model's mono grid at the bins and frames of another STFT of about the same window and hop
in seconds. It reads each bin at its own (Hz, seconds), linearly between the rows and frames of the model's grid. So
stems keep the sampling rate of their file. This file knows no network.
"""

import math
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trisep.types import SignalSettings

_BASE = 21.0


LOG_FLOOR = 1e-10
"""Constant that is added to a magnitude before its logarithm is taken."""


def log_magnitude(magnitude: Float[Tensor, "*B 256 T"]) -> Float[Tensor, "*B 1 256 T"]:
    """Compute `log(A + 1e-10)` of magnitudes on the log-frequency grid: the input of every network (spec section 1)."""
    return (magnitude + LOG_FLOOR).log().unsqueeze(-3)


def to_log_frequency(values: Float[Tensor, "*B F T"], num_log_bins: int = 256) -> Float[Tensor, "*B L T"]:
    """Resample F linear STFT bins to `num_log_bins` rows of the log grid."""
    return _interpolate(values, num_log_bins, "log")


def to_linear_frequency(values: Float[Tensor, "*B L T"], num_bins: int) -> Float[Tensor, "*B F T"]:
    """Resample rows of the log grid (a mask, usually) back to `num_bins` linear STFT bins."""
    return _interpolate(values, num_bins, "linear")


def log_row_of_frequency(frequency_ratio: Float[Tensor, "F"], num_log_bins: int = 256) -> Float[Tensor, "F"]:
    """Compute the fractional row of the log grid of frequencies given as a share of Nyquist, 0 to 1.

    Frequencies beyond 1 are held at the top row.
    """
    linear = 2 * frequency_ratio.clamp(0, 1) - 1
    return torch.log(10 * linear + 11) / math.log(_BASE) * (num_log_bins - 1)


def _interpolate(values: Tensor, num_rows: int, axis: str) -> Tensor:
    low, high, weight = _table(values.shape[-2], num_rows, axis, values.device, values.dtype)
    return torch.lerp(values.index_select(-2, low), values.index_select(-2, high), weight)


@lru_cache(maxsize=32)
def _table(
    num_source: int, num_target: int, axis: str, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the indices of the two neighbours of every target row and the weight of the upper one."""
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


AboveNyquist = Literal["top", "mute", "keep"]
"""Value of a mask beyond the model's Nyquist frequency: the average of its top band, 0, or 1."""
_TOP_BAND = 0.875
"""The top band begins at this share of the model's Nyquist frequency: 7 to 8 kHz at 16 kHz."""


def settings_at_rate(model: SignalSettings, sample_rate_hz: int) -> SignalSettings:
    """Choose the STFT for sound at another rate, with nearly the model's hop and overlap in time.

    At the model's own rate it is the model's STFT. Elsewhere the hop is the nearest length whose prime factors are at
    most 7, which keeps the FFT fast: 700 samples at 44.1 kHz for 256 at 16 kHz.
    """
    if sample_rate_hz == model.sample_rate_hz:
        return model
    exact = model.hop_samples * sample_rate_hz / model.sample_rate_hz
    hop = min((n for n in range(2, int(2 * exact) + 4) if _is_smooth(n)), key=lambda n: abs(n - exact))
    window = hop * -(-model.window_samples // model.hop_samples)
    return SignalSettings(
        sample_rate_hz=sample_rate_hz,
        window_samples=window + window % 2,
        hop_samples=hop,
        clip_samples=model.clip_samples,
        num_log_bins=model.num_log_bins,
        mixture_level_db=model.mixture_level_db,
    )


class MaskGrid:
    """Reads masks at the bins and frames of `target`; `above_nyquist` applies beyond the model's Nyquist frequency."""

    def __init__(
        self,
        model: SignalSettings,
        target: SignalSettings,
        *,
        above_nyquist: AboveNyquist = "top",
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare the weights of rows for every bin."""
        if above_nyquist not in ("top", "mute", "keep"):
            raise ValueError(f"above_nyquist must be top, mute or keep, not {above_nyquist!r}")
        self._frames_per_frame = (
            target.hop_samples * model.sample_rate_hz,
            target.sample_rate_hz * model.hop_samples,
        )
        bins = torch.arange(target.num_bins, dtype=torch.float64) * target.sample_rate_hz / target.window_samples
        ratio = bins / (model.sample_rate_hz / 2)
        # Every bin above the model's Nyquist frequency has the same weights: one column stands for all of them.
        heard = int((ratio <= 1).sum())
        self._num_above = len(ratio) - heard
        self._weights = _row_weights(ratio[: heard + 1], model.num_log_bins, above_nyquist).to(device)
        self._keeps = above_nyquist == "keep"

    def position(self, frame: int) -> tuple[int, float]:
        """Locate a frame of the target among the model's frames: whole part and remainder in [0, 1), exact."""
        numerator, denominator = self._frames_per_frame
        whole, rest = divmod(frame * numerator, denominator)
        return whole, rest / denominator

    def frames_before(self, model_frame: int) -> int:
        """Count the frames of the target, from 0, that lie at or before a frame of the model; 0 for a negative one."""
        numerator, denominator = self._frames_per_frame
        return 0 if model_frame < 0 else model_frame * denominator // numerator + 1

    def read(
        self, masks: Float[Tensor, "Q 256 n"], *, first_mask_frame: int, first_frame: int, num_frames: int
    ) -> Float[Tensor, "Q K F"]:
        """Read the masks [Q, K, F] of K = `num_frames` frames of the target, from `first_frame`.

        `masks` begins at `first_mask_frame` of the model's frames; times past its end read its last frame.
        """
        positions = [self.position(first_frame + index) for index in range(num_frames)]
        last = masks.shape[-1] - 1
        low = torch.tensor([whole - first_mask_frame for whole, _ in positions], device=masks.device).clamp(0, last)
        rest = torch.tensor([rest for _, rest in positions], dtype=masks.dtype, device=masks.device)
        frames = masks.transpose(1, 2)
        at_times = torch.lerp(frames[:, low], frames[:, (low + 1).clamp(max=last)], rest.unsqueeze(-1))
        values = at_times @ self._weights
        if self._num_above == 0:
            return values
        above = torch.ones_like(values[..., -1:]) if self._keeps else values[..., -1:]
        return torch.cat([values[..., :-1], above.expand(-1, -1, self._num_above)], dim=-1)


def _row_weights(ratio: Float[Tensor, "F"], num_rows: int, above_nyquist: AboveNyquist) -> Float[Tensor, "256 F"]:
    """Compute the weight of each row of the log grid in each bin; `ratio` is frequency over the model's Nyquist."""
    row = log_row_of_frequency(ratio, num_rows)
    low = row.floor().long().clamp(max=num_rows - 1)
    high = (low + 1).clamp(max=num_rows - 1)
    columns = torch.arange(len(ratio))
    weights = torch.zeros(num_rows, len(ratio), dtype=torch.float64)
    weights[low, columns] += 1 - (row - low)
    weights[high, columns] += row - low
    above = ratio > 1
    if above.any():
        top_row = int(log_row_of_frequency(torch.tensor([_TOP_BAND], dtype=torch.float64), num_rows).ceil())
        weights[:, above] = 0.0
        if above_nyquist == "top":
            weights[top_row:, above] = 1 / (num_rows - top_row)
    return weights.float()


def _is_smooth(number: int) -> bool:
    """Return whether no prime factor exceeds 7."""
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1
