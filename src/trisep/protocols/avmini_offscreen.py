"""`avmini-offscreen`: the mixtures of `avmini`, each with a noise that no picture shows and no query names.

The noise is a clip of the split `offscreen`, drawn uniformly, at 6 dB below either source over the length of the
mixture (repeated where it is shorter). It is not scored. It is in the mixture from which improvements are measured, and
counts as artifact in BSS Eval. The protocol is ours: CLIPSep tests against such noise with `clipsep-music+`, whose
interferers take the place of the second source.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from trisep.protocols import ProtocolMixture, avmini
from trisep.protocols.clip_lists import read_clips

INTERFERENCE_DB = -6.0


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield the pairs of `avmini` for the same seed, with a noise for each."""
    noises = read_clips(data, {"offscreen"})
    for mixture in avmini.mixtures(data, seed):
        drawn = noises[np.random.default_rng((seed, mixture.index)).integers(len(noises))]
        yield replace(mixture, interference=drawn.path)


PROTOCOL = replace(avmini.PROTOCOL, name="avmini-offscreen", pairs=mixtures, interference_db=INTERFERENCE_DB)
