"""The methods by which protocols draw pairs from lists of clips: pure, seeded, one mixture at a time.

Methods from public code use Python's own generator as that code does, so that with seed 0 the same list of clips gives
the same pairs. This file knows no files and no signal.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, count
from random import Random

import numpy as np

from trisep.protocols import ProtocolMixture, ProtocolSource

_SEED_STRIDE = 1_000_003
"""Public code seeds a mixture with its index; other seeds of a list are shifted away from all indices."""


def with_any_clip(sources: Sequence[ProtocolSource], seed: int) -> Iterator[ProtocolMixture]:
    """Yield each clip with one drawn from all (public code of Sound of Pixels).

    Our deviation: where a clip draws itself, the next one is taken.
    """
    for index, first in enumerate(sources):
        partner = _generator(seed, index).randint(0, len(sources) - 1)
        if partner == index:
            partner = (partner + 1) % len(sources)
        yield ProtocolMixture(index=index, sources=(first, sources[partner]))


def with_another_clip(sources: Sequence[ProtocolSource], seed: int) -> Iterator[ProtocolMixture]:
    """Yield each clip with one drawn from all others (public code of CLIPSep, one list)."""
    for index, first in enumerate(sources):
        (drawn,) = _generator(seed, index).sample(range(len(sources) - 1), 1)
        yield ProtocolMixture(index=index, sources=(first, sources[drawn + (drawn >= index)]))


def with_interferer(
    targets: Sequence[ProtocolSource], interferers: Sequence[ProtocolSource], seed: int
) -> Iterator[ProtocolMixture]:
    """Yield each target with one drawn from the interferers (public code of CLIPSep, two lists)."""
    for index, target in enumerate(targets):
        drawn = interferers[_generator(seed, index).randint(0, len(interferers) - 1)]
        yield ProtocolMixture(index=index, sources=(target, drawn))


def with_another_class(
    sources: Sequence[ProtocolSource], seed: int, *, first_index: int = 0
) -> Iterator[ProtocolMixture]:
    """Yield each clip with one drawn from those of other labels, which must exist."""
    for index, first in enumerate(sources, start=first_index):
        others = [source for source in sources if source.label != first.label]
        yield ProtocolMixture(
            index=index, sources=(first, others[np.random.default_rng((seed, index)).integers(len(others))])
        )


def random_pairs(sources: Sequence[ProtocolSource], seed: int) -> Iterator[ProtocolMixture]:
    """Yield pairs of different labels drawn from all pairs, without end; at least two labels must exist."""
    generator = np.random.default_rng(seed)
    indices = count()
    while True:
        first, second = (sources[index] for index in generator.choice(len(sources), 2, replace=False))
        if first.label != second.label:
            yield ProtocolMixture(index=next(indices), sources=(first, second))


def classes_in_pairs(sources: Sequence[ProtocolSource], seed: int, *, num_draws: int) -> Iterator[ProtocolMixture]:
    """Yield the first clip of each label with that of each other label, `num_draws` times.

    Each draw takes other segments of both clips.
    """
    first_of: dict[str, ProtocolSource] = {}
    for source in sources:
        first_of.setdefault(source.label, source)
    index = 0
    for pair in combinations(first_of.values(), 2):
        for _ in range(num_draws):
            starts = np.random.default_rng((seed, index)).random(2)
            drawn = tuple(replace(source, start=float(start)) for source, start in zip(pair, starts, strict=True))
            yield ProtocolMixture(index=index, sources=drawn)
            index += 1


def by_group(sources: Sequence[ProtocolSource]) -> dict[str, list[ProtocolSource]]:
    """Return the sources of each group, groups in order of their names."""
    groups: dict[str, list[ProtocolSource]] = defaultdict(list)
    for source in sources:
        groups[source.group].append(source)
    return dict(sorted(groups.items()))


def _generator(seed: int, index: int) -> Random:
    return Random(index + seed * _SEED_STRIDE)
