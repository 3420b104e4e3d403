"""Data sets: published metadata → a list of clips with labels and splits. Nothing here downloads a file.

    clip_list.py     `ListedClip`, and the reading of the text files that data sets are published as
    whole_videos.py  the splits of the data sets that list whole videos
    music.py solos.py audioset.py vggsound.py esc50.py folder.py    one published form each
    status.py        the state of one clip's file: usable, missing, unreadable, too short, silent, still …
    lists.py         the report of all states, and the lists of usable clips that `trisep prepare --clips` reads
    availability.py  the flow: all of them over a whole data set
    fetch.py         the user's own command for missing clips

No label enters a clip store.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from trisep.datasets.audioset import read_audioset
from trisep.datasets.clip_list import ListedClip
from trisep.datasets.esc50 import read_esc50
from trisep.datasets.folder import read_folder
from trisep.datasets.music import read_music
from trisep.datasets.solos import read_solos
from trisep.datasets.vggsound import read_vggsound, read_vggsound_clean
from trisep.datasets.whole_videos import SplitRule
from trisep.errors import ConfigError, MediaError

__all__ = ["DataSetName", "ListedClip", "SplitRule", "has_pictures", "list_clips"]

DataSetName = Literal["music", "music21", "solos", "audioset", "vggsound", "vggsound-clean", "esc50", "folder"]


def list_clips(name: str, metadata: Sequence[Path], media: Path, *, rule: SplitRule | None = None) -> list[ListedClip]:
    """List the clips of a data set, in the order of its metadata.

    Args:
        name: one of `DataSetName`.
        metadata: the published files, which the module of each reader names. None for a folder.
        media: the folder of media files, which only `folder` reads.
        rule: the split of MUSIC, MUSIC-21 and Solos; the default is that of the paper that used the set (VAST's; for
            MUSIC-21, HFRA's sizes). The other data sets have a split of their own and take no rule.

    Raises ConfigError when a name is unknown, or a file is missing, of another form or empty.
    """
    if name not in get_args(DataSetName):
        raise ConfigError(f"unknown data set '{name}': expected one of {', '.join(get_args(DataSetName))}")
    if rule is not None and name not in ("music", "music21", "solos"):
        raise ConfigError(f"--rule: {name} has a split of its own, got {rule}; leave it out")
    if name in ("music", "music21"):
        clips = read_music(metadata, rule or ("first-two" if name == "music" else "fifth"))
    elif name == "solos":
        clips = read_solos(metadata, rule or "first-two")
    elif name == "folder":
        clips = read_folder(metadata, media)
    else:
        readers = {
            "audioset": read_audioset,
            "vggsound": read_vggsound,
            "vggsound-clean": read_vggsound_clean,
            "esc50": read_esc50,
        }
        clips = readers[name](metadata)
    if not clips and name == "folder":
        raise MediaError(f"{media}: holds no video and no sound; give the folder of media files")
    if not clips:
        raise ConfigError(
            f"{', '.join(map(str, metadata)) or media}: lists no clip of {name}; give the files as published"
        )
    return clips


def has_pictures(name: str) -> bool:
    """Return whether the clips of a data set are videos."""
    return name != "esc50"
