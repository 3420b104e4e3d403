"""MUSIC and MUSIC-21 (Zhao et al. 2018, 2019): solos and duets of instruments, as lists of YouTube ids by class.

Files as published in roudimit/MUSIC_dataset: MUSIC_solo_videos.json, MUSIC_duet_videos.json, MUSIC21_solo_videos.json,
each of the form {"version": 1.0, "videos": {"acoustic_guitar": ["ID", …], "flute violin": ["ID", …], …}}; a space
separates the two instruments of a duet. This file knows no media files.
"""

from collections.abc import Sequence
from pathlib import Path

from trisep.datasets.clip_list import ListedClip, read_json, require_files, require_youtube_id, tidy_label
from trisep.datasets.whole_videos import SplitRule, class_clips
from trisep.errors import ConfigError


def read_music(metadata: Sequence[Path], rule: SplitRule) -> list[ListedClip]:
    """Read the clips of one or more of the files; ConfigError when a file has another form."""
    require_files(
        metadata, "MUSIC_solo_videos.json, MUSIC_duet_videos.json or MUSIC21_solo_videos.json, or several of them"
    )
    clips: list[ListedClip] = []
    for path in metadata:
        content = read_json(path)
        videos = content.get("videos") if isinstance(content, dict) else None
        if not isinstance(videos, dict) or not all(isinstance(ids, list) for ids in videos.values()):
            raise ConfigError(
                f'{path}: expected {{"videos": {{CLASS: [ID, …]}}}}, which it does not hold; give the file as published'
            )
        for name, ids in videos.items():
            labels = tuple(tidy_label(part) for part in name.split())
            clips += class_clips(
                [require_youtube_id(value, f"{path}, class {name}") for value in ids], labels=labels, rule=rule
            )
    return clips
