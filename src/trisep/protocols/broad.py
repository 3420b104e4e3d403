"""Held-out clips of all miniature sets together: two or three sources, of equal or unequal level, of any length.

The protocols are `broad-pairs-choosing`, `broad-triples-choosing`, and the same of `-test`. Each draws 200 mixtures of
different labels from the clips of its half of the split `dev` of avmini, soundmini and solomini (folders of these names
below DATA): first a set for each source, then a clip. In every second mixture the sources lie up to 5 dB above or below
−20 dBFS RMS; in every second pair of mixtures the clips are cut to a random length of 2 to 7 s, which is a multiple of
nothing. All sources are scored. The protocols are ours.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from trisep.protocols import Protocol, ProtocolMixture, ProtocolSource, avmini
from trisep.protocols.clip_lists import Half, read_clips
from trisep.protocols.mini_sets import HALVES, SETS

GAIN_DB = 5.0
LENGTH_SECONDS = (2.0, 7.0)
SIZES = {"pairs": 2, "triples": 3}


def mixtures(data: Path, seed: int = 0, *, half: Half, num_sources: int) -> Iterator[ProtocolMixture]:
    """Yield the mixtures of one half; the same lists of clips and seed give the same mixtures."""
    sets = [read_clips(data / name, {"dev"}, half=half, group=name) for name in SETS]
    return (_mixture(sets, np.random.default_rng((seed, index)), index, num_sources) for index in range(200))


def _mixture(
    sets: list[list[ProtocolSource]], generator: np.random.Generator, index: int, num_sources: int
) -> ProtocolMixture:
    """Draw one mixture; whether its levels and its length are drawn depends on its number."""
    sources: list[ProtocolSource] = []
    while len(sources) < num_sources:
        clips = sets[generator.integers(len(sets))]
        drawn = clips[generator.integers(len(clips))]
        if drawn.label not in {source.label for source in sources}:
            sources.append(drawn)
    gains_db = generator.uniform(-GAIN_DB, GAIN_DB, num_sources) if index % 2 else np.zeros(num_sources)
    end = round(float(generator.uniform(*LENGTH_SECONDS)), 4) if index // 2 % 2 else None
    placed = (
        replace(source, gain_db=float(gain), end_seconds=end) for source, gain in zip(sources, gains_db, strict=True)
    )
    return ProtocolMixture(index=index, sources=tuple(placed))


PROTOCOLS: tuple[Protocol, ...] = tuple(
    replace(
        avmini.PROTOCOL,
        name=f"broad-{size}-{half}",
        pairs=partial(mixtures, half=half, num_sources=num_sources),
        num_scored=num_sources,
    )
    for size, num_sources in SIZES.items()
    for half in HALVES
)
