"""The floor: every estimate is the mixture. All improvements (suffix `i`) are measured against this baseline.

It uses no spectrogram.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from trisep.types import SignalSettings

KIND = "floor"
NEEDS = ("num_sources",)
ORDERED = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Level of the copies."""

    divided: bool = False
    """Divide each copy by N, so that the estimates sum to the mixture. Only SNR is sensitive to it.
    The papers score False."""


_DEFAULT = Config()


def estimate(
    mixture: Float[np.ndarray, "S"],
    *,
    num_sources: int,
    signal: SignalSettings | None = None,
    config: Config = _DEFAULT,
) -> Float[np.ndarray, "N S"]:
    """Return `num_sources` copies of the mixture; `signal` is taken as in every baseline and has no effect."""
    return np.tile(mixture / num_sources if config.divided else mixture, (num_sources, 1))
