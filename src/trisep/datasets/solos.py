"""Solos (Montesinos et al. 2020): auditions and solos of 13 instruments, as lists of YouTube ids by class.

File as published in JuanFMontesinos/Solos: solos_ids.json, of the form {"Bassoon": ["ID", …], "DoubleBass": […], …}.
This file knows no media files.
"""

from collections.abc import Sequence
from pathlib import Path

from trisep.datasets.clip_list import ListedClip, read_json, require_files, require_youtube_id, tidy_label
from trisep.datasets.whole_videos import SplitRule, class_clips
from trisep.errors import ConfigError


def read_solos(metadata: Sequence[Path], rule: SplitRule) -> list[ListedClip]:
    """Read the clips of the file; ConfigError when it has another form.

    solos_timestamps.json, which lists frames, is another form.
    """
    require_files(metadata, "solos_ids.json")
    clips: list[ListedClip] = []
    for path in metadata:
        content = read_json(path)
        if not isinstance(content, dict) or not content or not all(isinstance(ids, list) for ids in content.values()):
            raise ConfigError(
                f"{path}: expected {{CLASS: [ID, …]}}, which it does not hold; give solos_ids.json as published"
            )
        for name, ids in content.items():
            checked = [require_youtube_id(value, f"{path}, class {name}") for value in ids]
            clips += class_clips(checked, labels=(tidy_label(name),), rule=rule)
    return clips
