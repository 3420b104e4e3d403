"""The instruments of AudioSet (Gemmeke et al. 2017): ten-second stretches of YouTube videos with any number of labels.

Files as published: balanced_train_segments.csv and unbalanced_train_segments.csv, whose rows (after three lines that
begin with #) are

    ID, 30.000, 40.000, "/m/09x0r,/m/05zppz"

and class_labels_indices.csv, which names the classes: index,mid,display_name. This file knows no media files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trisep.datasets.clip_list import (
    ListedClip,
    hash_rank,
    read_rows,
    read_text,
    require_files,
    require_number,
    require_youtube_id,
)
from trisep.errors import ConfigError

INSTRUMENTS: Mapping[str, str] = {
    "Accordion": "accordion",
    "Acoustic guitar": "acoustic guitar",
    "Banjo": "banjo",
    "Cello": "cello",
    "Drum": "drum",
    "Electric guitar": "electric guitar",
    "Flute": "flute",
    "French horn": "french horn",
    "Harmonica": "harmonica",
    "Harp": "harp",
    "Marimba, xylophone": "marimba",
    "Piano": "piano",
    "Saxophone": "saxophone",
    "Trombone": "trombone",
    "Violin, fiddle": "violin",
}
"""AudioSet's name of each of the 15 classes → ours. VAST speaks of "15 musical instrument categories following prior
work" without naming them; these are the 15 of that work's own code (Gao, Feris and Grauman 2018)."""
_FILES = "balanced_train_segments.csv and/or unbalanced_train_segments.csv, and class_labels_indices.csv"
_CLASSES_HEADER = ["index", "mid", "display_name"]


def read_audioset(metadata: Sequence[Path]) -> list[ListedClip]:
    """Read the stretches with at least one of the 15 labels; ConfigError when a file is missing or has another form.

    The unbalanced list is the training split; the balanced one is validation and test (VAST, appendix A.5). The paper
    does not print which half is which: ours goes by the last bit of the SHA-256 of the id.
    """
    require_files(metadata, _FILES)
    class_files = [path for path in metadata if read_text(path).startswith(",".join(_CLASSES_HEADER))]
    segment_files = [path for path in metadata if path not in class_files]
    if len(class_files) != 1 or not segment_files:
        raise ConfigError(f"--metadata: AudioSet needs {_FILES}; got {', '.join(path.name for path in metadata)}")
    names = _class_names(class_files[0])
    return [clip for path in segment_files for clip in _segments(path, names)]


def _class_names(path: Path) -> dict[str, str]:
    """Read our name of each instrument by AudioSet's identifier."""
    rows = [row for _, row in read_rows(path, num_columns=3, form=",".join(_CLASSES_HEADER))]
    names = {identifier: INSTRUMENTS[name] for _, identifier, name in rows if name in INSTRUMENTS}
    if absent := sorted(set(INSTRUMENTS.values()) - set(names.values())):
        raise ConfigError(f"{path}: names no class {', '.join(absent)}; give class_labels_indices.csv as published")
    return names


def _segments(path: Path, names: Mapping[str, str]) -> list[ListedClip]:
    """Read the stretches of one file."""
    training = path.name.startswith("unbalanced")
    if not training and not path.name.startswith("balanced"):
        raise ConfigError(
            f"{path}: expected a file called balanced… or unbalanced…, by which the split goes; give the files as "
            "published"
        )
    clips = []
    for place, (name, start, end, labels) in read_rows(
        path, num_columns=4, form="YTID, start_seconds, end_seconds, positive_labels"
    ):
        media_id = require_youtube_id(name, place)
        start_seconds, end_seconds = require_number(start, place), require_number(end, place)
        found = tuple(names[label.strip()] for label in labels.split(",") if label.strip() in names)
        if not found:
            continue
        milliseconds = (round(1000 * start_seconds), round(1000 * end_seconds))
        clip = ListedClip(
            key=f"{media_id}_{round(start_seconds):06d}",
            media_id=media_id,
            cut_names=(f"{media_id}_{round(start_seconds):06d}", f"{media_id}_{milliseconds[0]}_{milliseconds[1]}"),
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            labels=found,
            split="train" if training else ("validation", "test")[int(hash_rank(media_id), 16) & 1],
        )
        clips.append(clip)
    return clips
