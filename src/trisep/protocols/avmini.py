"""`avmini`: pairs of held-out clips of different labels, mixed at equal level, both sources scored.

The list has 200 pairs drawn from the split `dev` of a list of clips, each clip over its whole length (8 s) and at −20
dBFS RMS before the sum. Labels choose the pairs and make the text query, through one template. The list is ours; no
paper and no public code defines it. The rate is not fixed: the clips, of 16 kHz, are brought to the rate of a model.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from trisep.protocols import Protocol, ProtocolMixture, ProtocolSource
from trisep.protocols.clip_lists import read_clips, require_two_labels
from trisep.protocols.pairing import random_pairs
from trisep.types import SignalSettings

NUM_MIXTURES = 200
LEVEL_DB = -20.0
TEMPLATE = "a photo of {}"

LACKING = frozenset({"bagpipes", "clarinet", "flute", "mandolin", "rain", "tuba"})
"""Classes for which ImageNet's classifier alone names fewer than half of the dev pictures correctly."""


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield the pairs; the same list of clips and seed give the same pairs."""
    sources = dev_sources(data)
    require_two_labels(sources, data)
    return islice(random_pairs(sources, seed), NUM_MIXTURES)


def dev_sources(data: Path) -> list[ProtocolSource]:
    """Read every held-out clip, in the order of the list.

    They are grouped by whether the encoder `lite` knows the class from ImageNet.
    """
    return [
        replace(source, group="lacking" if source.label in LACKING else "known") for source in read_clips(data, {"dev"})
    ]


PROTOCOL = Protocol(
    name="avmini",
    pairs=mixtures,
    signal=SignalSettings(),
    fixes_rate=False,
    whole_clips=True,
    level_db=LEVEL_DB,
    templates=(TEMPLATE,),
)
