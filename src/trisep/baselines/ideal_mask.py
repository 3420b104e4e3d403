"""The ceiling: the ideal masks of the known sources, applied to the mixture, whose phase is kept.

On the log grid a mask is the very target that the networks of this project are trained on, so none of them should score
above it. This file knows no network.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trisep.errors import ConfigError
from trisep.spectrogram.log_frequency import to_linear_frequency, to_log_frequency
from trisep.spectrogram.masks import binary_mask, ratio_mask
from trisep.spectrogram.stft import istft, stft
from trisep.types import SignalSettings

KIND = "ceiling"
NEEDS = ("references",)
ORDERED = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Kind and grid of the ideal mask."""

    mask: Literal["ratio", "binary"] = "ratio"
    """`ratio`: `A_i / Σ_j A_j` (VAST Eq. 10), with all other sound of the mixture in the sum. `binary`: `[A_i > ½
    A_mix]` (CLIPSep, before Eq. 1), so a bin may go to both sources or to none."""
    grid: Literal["linear", "log"] = "linear"
    """`linear`: the bins of the STFT. `log`: magnitudes are taken to the model's log-frequency grid, and the mask is
    formed there and mapped back. It is the ceiling for a network on that grid."""

    def __post_init__(self) -> None:
        """Check the names."""
        if self.mask not in ("ratio", "binary") or self.grid not in ("linear", "log"):
            raise ConfigError(f"expected mask ratio or binary on grid linear or log, got {self.mask} on {self.grid}")


_DEFAULT = Config()


def estimate(
    mixture: Float[np.ndarray, "S"],
    *,
    references: Float[np.ndarray, "N S"],
    signal: SignalSettings,
    config: Config = _DEFAULT,
) -> Float[np.ndarray, "N S"]:
    """Compute the sources under their ideal masks, with the phase of the mixture.

    Sound of the mixture beyond the references counts as one more source that is not estimated. Without such sound, and
    with ratio masks, the estimates sum to the mixture.

    Args:
        mixture: the mixture, mono, at `signal.sample_rate_hz`.
        references: the true sources as they stand in it.
        signal: STFT and log grid of the model.
        config: kind and grid of the mask.

    Raises:
        ValueError: lengths differ.
    """
    if references.shape[-1] != len(mixture):
        raise ValueError(
            f"references: expected {len(mixture)} samples, as the mixture has, got {references.shape[-1]}; cut both "
            "alike"
        )
    rest = mixture - references.sum(axis=0)
    spectra = stft(torch.from_numpy(np.concatenate([references, rest[None]])), signal)
    # The rest is added last: where it is zero, so are its rounding errors, and the result is that of the sources alone.
    total = spectra[:-1].sum(dim=0) + spectra[-1]
    masks = ideal_masks(spectra, total, signal, config)[:-1]
    return istft(masks * total, signal, len(mixture)).numpy()


def ideal_masks(spectra: Tensor, total: Tensor, signal: SignalSettings, config: Config) -> Float[Tensor, "N F T"]:
    """Compute the mask of each of N complex spectra [N, F, T] in their sum [F, T], in [0, 1].

    The masks are on the bins of the STFT, whichever grid forms them.
    """
    sources, mixture = spectra.abs()[None], total.abs()[None]
    if config.grid == "log":
        sources = to_log_frequency(sources, signal.num_log_bins)
        mixture = to_log_frequency(mixture, signal.num_log_bins)
    masks = ratio_mask(sources) if config.mask == "ratio" else binary_mask(sources, mixture)
    return to_linear_frequency(masks, total.shape[-2])[0] if config.grid == "log" else masks[0]
