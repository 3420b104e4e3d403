"""What is said about stems: their file names, their levels over time, and report.json. It reads and writes no sound."""

import math
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from trisep.types import Stem

SCHEMA = 1
RESERVED_NAMES = frozenset({"residual", "without", "report"})
_ACTIVITY_HOP_SECONDS = 0.1
_LONGEST_NAME_BYTES = 200


def output_name(query: str, taken: Collection[str] = ()) -> str:
    """File name, without suffix, for a query.

    NFC, lower case; letters and digits stay, every other run becomes `_`, ends trimmed; `query` if nothing is left. A name that is
    reserved (residual, without, report) or in `taken` gets `_2`, `_3` … At most 200 bytes.

    Example:
        >>> output_name("Rooster, barking!"), output_name("residual"), output_name("violin", {"violin"})
        ('rooster_barking', 'residual_2', 'violin_2')
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", query).lower())
    # A combining mark belongs to its letter: without it, words of several scripts fall apart.
    kept = "".join(letter if letter.isalnum() or unicodedata.category(letter).startswith("M") else " " for letter in text)
    name = "_".join(kept.split()).encode("utf-8")[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore") or "query"
    return unused_name(name, {*RESERVED_NAMES, *taken})


def unused_name(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first of `_2`, `_3` … that is not taken."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def output_names(queries: Sequence[str]) -> list[str]:
    """One name per query, all different."""
    names: list[str] = []
    for query in queries:
        names.append(output_name(query, names))
    return names


class LevelMeter:
    """Level of a sound as a whole and over time, gathered block by block. Memory grows by one number per 0.1 s."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Start at the first sample."""
        self._hop_samples = max(1, round(_ACTIVITY_HOP_SECONDS * sample_rate_hz))
        self.hop_seconds = self._hop_samples / sample_rate_hz
        """Time from one value of `activity` to the next."""
        self._num_samples = 0
        self._energy: list[float] = []

    def update(self, block: Float32[np.ndarray, "C n"]) -> None:
        """Add samples."""
        if block.shape[1] == 0:
            return
        power = np.square(block, dtype=np.float64).mean(axis=0)
        offset = self._num_samples % self._hop_samples
        starts = np.arange(-offset, block.shape[1], self._hop_samples).clip(0)
        sums = np.add.reduceat(power, starts)
        if offset:
            self._energy[-1] += float(sums[0])
            sums = sums[1:]
        self._energy.extend(sums.tolist())
        self._num_samples += block.shape[1]

    @property
    def level_db(self) -> float:
        """RMS over all channels in dBFS; −inf for digital silence."""
        energy = math.fsum(self._energy)
        return 10 * math.log10(energy / self._num_samples) if energy > 0 else -math.inf

    @property
    def activity(self) -> tuple[float, ...]:
        """RMS per hop, linear full scale; the last hop may be shorter."""
        lengths = np.full(len(self._energy), self._hop_samples)
        if len(lengths):
            lengths[-1] = self._num_samples - self._hop_samples * (len(lengths) - 1)
        return tuple(math.sqrt(energy / length) for energy, length in zip(self._energy, lengths, strict=True))


def stem_entry(stem: Stem, file: str) -> dict[str, Any]:
    """What report.json says of a stem. A level of −inf becomes null, which JSON can say."""
    return {
        "query": stem.query,
        "file": file,
        "level_db": round(stem.level_db, 3) if math.isfinite(stem.level_db) else None,
        "presence": round(stem.presence, 4),
        "present": stem.present,
        "activity": {"hop_seconds": stem.activity_hop_seconds, "values": [float(f"{value:.4g}") for value in stem.activity]},
    }
