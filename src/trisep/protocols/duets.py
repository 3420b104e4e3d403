"""`duets`: mixtures of two real duets, since a duet has no isolated sources of its own.

VAST and Co-Separation report "MUSIC duets" in this way: the sources that are scored are whole duets, each with two
instruments. Neither prints the pairs. Ours: every clip of the split `test` of a list of duets is mixed with another one
drawn from the list as in CLIPSep's public code; the rest is as in `vast`. Of what `trisep data` wrote, which may hold
solos, too, the clips of several labels are taken. A label such as "cello+flute" becomes the
query "cello and flute". The protocol measures whether a whole picture finds its own sound. It does not measure whether
the instruments inside one picture are distinguished: `avmini-duets` does.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trisep.protocols import ProtocolMixture, vast
from trisep.protocols.clip_lists import read_clips
from trisep.protocols.pairing import with_another_clip


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield as many mixtures as the split `test` has clips."""
    sources = [
        replace(source, label=source.label.replace("+", " and "))
        for source in read_clips(data, {"test"}, parts="several")
    ]
    return with_another_clip(sources, seed)


PROTOCOL = replace(vast.PROTOCOL, name="duets", pairs=mixtures)
