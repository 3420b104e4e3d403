"""The floor: nothing is separated, every estimate is the mixture. All improvements (suffix `i`) are
against this one.
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
    """How loud the copies are."""

    divided: bool = False
    """Divide each copy by N, so that the estimates sum to the mixture. Only SNR is sensitive to it. False is what the
    papers score.
    """


_DEFAULT = Config()


def estimate(
    mixture: Float[np.ndarray, "S"],
    *,
    num_sources: int,
    signal: SignalSettings | None = None,
    config: Config = _DEFAULT,
) -> Float[np.ndarray, "N S"]:
    """`num_sources` copies of the mixture. `signal` is taken as in every baseline; a copy has no use for it."""
    return np.tile(mixture / num_sources if config.divided else mixture, (num_sources, 1))
