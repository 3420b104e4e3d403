"""`clipsep-music+`: MUSIC targets against noises that no query names (CLIPSep, section 4.2, Table 3).

Source: the public code. Every target is mixed with an interferer drawn by Python's generator with seed = index; the
rest is as in `clipsep-music`. The public lists are 46 MUSIC clips as targets and 75 hand-picked VGGSound clips without
music as interferers; the paper says that interferers are VGGSound videos without instruments. Here both are in one list
of clips, in the splits `target` and `interferer`. The harness separates all sources, so the label of the interferer is
a query, too, where both are separated in one call; it is not scored.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trisep.protocols import ProtocolMixture, clipsep_music
from trisep.protocols.clip_lists import read_clips
from trisep.protocols.pairing import with_interferer


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield as many mixtures as the split `target` has clips."""
    return with_interferer(read_clips(data, {"target"}), read_clips(data, {"interferer"}), seed)


PROTOCOL = replace(clipsep_music.PROTOCOL, name="clipsep-music+", pairs=mixtures)
