"""The level of a sound: RMS in dBFS, and the gain from one level to another.

Everything that a network reads is measured here. This file knows no files.
"""

import math

import numpy as np
from jaxtyping import Float

SILENCE = 1e-20
"""A variance below this, −200 dBFS, is silence."""


def level_db(sound: Float[np.ndarray, "*C S"]) -> float:
    """Measure the RMS in dBFS with the mean removed, so that a DC offset does not count as sound; −inf for silence."""
    return level_from_sums(
        sound.size, float(sound.sum(dtype=np.float64)), float(np.square(sound, dtype=np.float64).sum())
    )


def level_from_sums(num_samples: int, total: float, squares: float) -> float:
    """Compute `level_db` from the sums of the samples and of their squares, for a sound that is read in blocks."""
    variance = squares / num_samples - (total / num_samples) ** 2 if num_samples else 0.0
    return 10 * math.log10(variance) if variance > SILENCE else -math.inf


def gain_between(from_db: float, to_db: float | None) -> np.float32:
    """Compute the factor from one level to another.

    It is 1 for silence, which no factor makes louder, and where `to_db` is None, which leaves sounds as recorded.
    """
    if to_db is None or not math.isfinite(from_db):
        return np.float32(1)
    return np.float32(10 ** ((to_db - from_db) / 20))


def gain_to(sound: Float[np.ndarray, "*C S"], to_db: float | None) -> np.float32:
    """Compute the factor that brings a sound to a level; 1 as in `gain_between`."""
    return gain_between(level_db(sound), to_db)
