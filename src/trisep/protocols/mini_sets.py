"""Held-out clips of the miniature sets in two halves: models are chosen on one, and the other is only reported.

The protocols are `avmini-choosing`, `avmini-test` and the same of `soundmini` (everyday sounds) and `solomini`
(instruments by recordists that training lacks). Each draws 200 pairs of different labels from the clips of its half
of the split `dev`, each clip over its whole length, cut to the shorter, at −20 dBFS RMS before the sum. The text
query is the column `query` of the list (or the label) through one template. Clips of one recording are in one half.
The protocols are ours.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from trisep.protocols import Protocol, ProtocolMixture, avmini
from trisep.protocols.clip_lists import Half, read_clips, require_two_labels
from trisep.protocols.pairing import random_pairs

SETS = ("avmini", "soundmini", "solomini")
HALVES: tuple[Half, ...] = ("choosing", "test")


def mixtures(data: Path, seed: int = 0, *, half: Half) -> Iterator[ProtocolMixture]:
    """Yield the pairs of one half; the same list of clips and seed give the same pairs."""
    sources = read_clips(data, {"dev"}, half=half)
    require_two_labels(sources, data)
    return islice(random_pairs(sources, seed), avmini.NUM_MIXTURES)


PROTOCOLS: tuple[Protocol, ...] = tuple(
    replace(avmini.PROTOCOL, name=f"{name}-{half}", pairs=partial(mixtures, half=half))
    for name in SETS
    for half in HALVES
)
