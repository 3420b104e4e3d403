"""A floor: random masks. It shows the effect of masking alone on each metric, without any separation.

It reads no property of the sources but their number.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from trisep.spectrogram.log_frequency import to_linear_frequency
from trisep.spectrogram.stft import istft, stft
from trisep.types import SignalSettings

KIND = "floor"
NEEDS = ("num_sources", "generator")
ORDERED = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Grid on which the masks are drawn."""

    grid: Literal["log", "linear"] = "log"
    """`log`: on the rows of the model's grid, as an untrained network would give them. `linear`: for each
    bin of the STFT."""


_DEFAULT = Config()


def estimate(
    mixture: Float[np.ndarray, "S"],
    *,
    num_sources: int,
    generator: np.random.Generator,
    signal: SignalSettings,
    config: Config = _DEFAULT,
) -> Float[np.ndarray, "N S"]:
    """Compute estimates under `random_masks`, which sum to the mixture, mono at `signal.sample_rate_hz`."""
    spectrum = stft(torch.from_numpy(mixture), signal)
    rows = signal.num_log_bins if config.grid == "log" else spectrum.shape[-2]
    masks = torch.from_numpy(random_masks(num_sources, rows, spectrum.shape[-1], generator)).to(spectrum.real.dtype)
    if config.grid == "log":
        masks = to_linear_frequency(masks, spectrum.shape[-2])
    return istft(masks * spectrum, signal, len(mixture)).numpy()


def random_masks(
    num_sources: int, num_rows: int, num_frames: int, generator: np.random.Generator
) -> Float[np.ndarray, "N F T"]:
    """Draw masks uniformly from all that sum to one.

    For two sources, one mask is uniform in [0, 1] and the other is the rest. The gaps between N − 1 sorted uniform
    numbers are uniform on the simplex.
    """
    cuts = np.sort(generator.random((num_sources - 1, num_rows, num_frames)), axis=0)
    return np.diff(cuts, axis=0, prepend=0.0, append=1.0)
