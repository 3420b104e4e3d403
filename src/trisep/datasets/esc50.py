"""ESC-50 (Piczak 2015): 2000 sounds of five seconds in 50 classes and five folds, without pictures.

File as published: meta/esc50.csv, with the header filename,fold,target,category,esc10,src_file,take. This file
knows no media files.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from trisep.datasets.clip_list import ListedClip, read_rows, require_files, tidy_label
from trisep.errors import ConfigError

_COLUMNS = "filename,fold,target,category,esc10,src_file,take"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.(wav|ogg)")


def read_esc50(metadata: Sequence[Path]) -> list[ListedClip]:
    """Read the sounds, each in the split "fold1" to "fold5"; the user arranges the cross-validation.

    Raises ConfigError for another form.
    """
    require_files(metadata, "meta/esc50.csv")
    clips = []
    for path in metadata:
        rows = read_rows(path, num_columns=7, form=_COLUMNS)
        header = next(rows, ("", []))[1]
        if ",".join(header) != _COLUMNS:
            raise ConfigError(
                f"{path}: expected the header {_COLUMNS}, got {','.join(header)!r}; give meta/esc50.csv as published"
            )
        for place, (name, fold, _, category, *_rest) in rows:
            if not _FILE_NAME.fullmatch(name) or fold not in ("1", "2", "3", "4", "5"):
                raise ConfigError(
                    f"{place}: expected a .wav file's name and a fold 1 to 5, got {name!r}, {fold!r}; give the file as "
                    "published"
                )
            stem = Path(name).stem
            clips.append(ListedClip(key=stem, media_id=stem, labels=(tidy_label(category),), split=f"fold{fold}"))
    return clips
