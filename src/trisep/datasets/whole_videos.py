"""The splits of data sets that list whole videos by class: training, validation and test.

This file knows no metadata and no media files.
"""

from collections.abc import Sequence
from typing import Literal

from trisep.datasets.clip_list import ListedClip, hash_rank

SplitRule = Literal["first-two", "fifth"]
"""first-two: of each class the first video is for validation, the second for test, the rest for training (VAST,
appendix A.5, after Co-Separation). fifth: of each class of solos one fifth is for test, the rest for training, as are
duets. HFRA prints only the sizes of its split (MUSIC 483/118 of the 601 videos still online, test on solos only;
MUSIC-21 831/208), which are four fifths and one fifth; *which* videos is not printed. Ours takes the fifth that comes
first in the order of the ids' SHA-256."""


def class_clips(media_ids: Sequence[str], *, labels: tuple[str, ...], rule: SplitRule) -> list[ListedClip]:
    """List the clips of one class, in the order given. A class with several labels is one of duets."""
    splits = dict.fromkeys(media_ids, "train")
    if rule == "first-two":
        splits.update(zip(media_ids, ("validation", "test"), strict=False))
    elif len(labels) == 1:
        ranked = sorted(splits, key=hash_rank)
        splits.update(dict.fromkeys(ranked[: round(len(ranked) / 5)], "test"))
    return [ListedClip(key=name, media_id=name, labels=labels, split=splits[name]) for name in media_ids]
