"""`cosep-550`: Co-Separation's test on MUSIC (Gao and Grauman, ICCV 2019): 11 videos, 55 pairs, 10 segments of each.

One test video of each class is paired with that of each other class: 55 pairs for 11 classes, with 10 random segments
of each pair. The paper prints neither the videos nor the segments. The public code separates one whole pair given by
name, by a sliding window, averaged over detections; it holds no list of pairs. Ours: the first test clip of each class
in the order of the list; segments drawn with a seed, 65 535 samples at 11 025 Hz, each source divided by 2; one window,
no detections. Both sources are scored by BSS Eval v3, as ratios, not as improvements.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trisep.protocols import ProtocolMixture, vast
from trisep.protocols.clip_lists import read_clips, require_two_labels
from trisep.protocols.pairing import classes_in_pairs

NUM_DRAWS = 10


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield 10 · C(n, 2) mixtures for n classes in the split `test`."""
    sources = read_clips(data, {"test"}, parts="one")
    require_two_labels(sources, data)
    return classes_in_pairs(sources, seed, num_draws=NUM_DRAWS)


PROTOCOL = replace(vast.PROTOCOL, name="cosep-550", pairs=mixtures, headline=("sdr", "sdri"))
