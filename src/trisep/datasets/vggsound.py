"""VGGSound (Chen et al. 2020) and VGGSound-Clean (Dong et al. 2023): ten-second stretches of YouTube videos.

Each has one of 309 labels. Files as published: vggsound.csv, without header, `ID,30,"female speech, woman
speaking",train`; and, for VGGSound-Clean, the list of CLIPSep's repository, test-good.csv, without header,
`data/vggsound/audio/e/2/ID.wav,data/vggsound/preprocessed/e/2/ID,12,dog barking`. This file knows no media files.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trisep.datasets.clip_list import ListedClip, read_rows, require_files, require_number, require_youtube_id
from trisep.errors import ConfigError

CLIP_SECONDS = 10.0
_FORM = 'ID,start,"label",train or test'
_CLEAN_FORM = "path of the sound,path of the pictures,number of pictures,label"


def read_vggsound(metadata: Sequence[Path]) -> list[ListedClip]:
    """Read the clips of vggsound.csv with its own split, which has no validation part.

    Raises ConfigError when a file has another form.
    """
    require_files(metadata, "vggsound.csv")
    clips = []
    for path in metadata:
        for place, (name, start, label, split) in read_rows(path, num_columns=4, form=_FORM):
            if split not in ("train", "test"):
                raise ConfigError(
                    f"{place}: expected train or test as the last value, got {split!r}; give vggsound.csv as published"
                )
            clips.append(_clip(require_youtube_id(name, place), require_number(start, place), label, split))
    return clips


def read_vggsound_clean(metadata: Sequence[Path]) -> list[ListedClip]:
    """Read the 100 clips of CLIPSep's list, all of the test split; ConfigError when a file has another form.

    The list does not say where in its video a clip begins. With vggsound.csv beside it the start is read from there;
    without, the media files have to be the stretches themselves.
    """
    require_files(metadata, "CLIPSep's test-good.csv, and vggsound.csv for the clips' starts")
    clean = [path for path in metadata if _is_clean_list(path)]
    if not clean:
        raise ConfigError(f"{metadata[0]}: expected {_CLEAN_FORM}; give CLIPSep's test-good.csv as published")
    rest = [path for path in metadata if path not in clean]
    starts = {clip.media_id: clip.start_seconds for clip in read_vggsound(rest)} if rest else {}
    clips = []
    for path in clean:
        for place, (sound, _, _, label) in read_rows(path, num_columns=4, form=_CLEAN_FORM):
            media_id = require_youtube_id(PurePosixPath(sound).stem, place)
            clips.append(_clip(media_id, starts.get(media_id), label, "test"))
    return clips


def _is_clean_list(path: Path) -> bool:
    """Return whether the first column holds paths of sounds."""
    first = next(read_rows(path, num_columns=4, form=_FORM), None)
    return first is not None and first[1][0].endswith(".wav")


def _clip(media_id: str, start_seconds: float | None, label: str, split: str) -> ListedClip:
    """Build one clip. VGGSound calls its files ID_000030.mp4."""
    key = media_id if start_seconds is None else f"{media_id}_{round(start_seconds):06d}"
    return ListedClip(
        key=key,
        media_id=media_id,
        cut_names=() if start_seconds is None else (key,),
        start_seconds=start_seconds,
        end_seconds=None if start_seconds is None else start_seconds + CLIP_SECONDS,
        labels=(label,),
        split=split,
    )
