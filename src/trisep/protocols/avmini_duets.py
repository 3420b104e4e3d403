"""`avmini-duets`: two sources in one picture, side by side, whose sounds are known separately.

The list has every clip of the split `duet_dev`, in its order. Beside `NAME.mp4` lie `NAME_left.flac` and
`NAME_right.flac`, whose sum is the mixture, as recorded; the label is `left+right`. Both halves are scored. Region
queries point at the middle of each half. Image and video queries see the whole picture and so cannot distinguish the
two; their scores show how much a place adds. The protocol is ours.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trisep.errors import MediaError
from trisep.protocols import ProtocolMixture, ProtocolSource, avmini
from trisep.protocols.clip_lists import read_clips
from trisep.types import Place

PLACES = {"left": Place(x=0.25, y=0.5), "right": Place(x=0.75, y=0.5)}


def mixtures(data: Path, seed: int = 0) -> Iterator[ProtocolMixture]:
    """Yield the duets; nothing is drawn, so that the seed has no effect."""
    for index, duet in enumerate(read_clips(data, {"duet_dev"})):
        labels = duet.label.split("+")
        if len(labels) != len(PLACES):
            raise MediaError(f"{data}: expected the label of {duet.path.name} to be left+right, got '{duet.label}'")
        halves = zip(labels, PLACES.items(), strict=True)
        sources = [
            ProtocolSource(
                path=duet.path.with_name(f"{duet.path.stem}_{side}.flac"), label=label, picture=duet.path, place=place
            )
            for label, (side, place) in halves
        ]
        yield ProtocolMixture(index=index, sources=tuple(sources))


PROTOCOL = replace(avmini.PROTOCOL, name="avmini-duets", pairs=mixtures, level_db=None)
