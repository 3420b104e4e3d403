"""Excerpts in the forms that data sets are published in; the ids are invented."""

import json
from pathlib import Path

CLASS_NAMES = (
    "Accordion",
    "Acoustic guitar",
    "Banjo",
    "Cello",
    "Drum",
    "Electric guitar",
    "Flute",
    "French horn",
    "Harmonica",
    "Harp",
    '"Marimba, xylophone"',
    "Piano",
    "Saxophone",
    "Trombone",
    '"Violin, fiddle"',
)


def youtube_id(number: int) -> str:
    """An invented id; some begin with the awkward - and _."""
    return f"{'-_ab'[number % 4]}xyz{number:07d}"


def write_music(path: Path, classes: dict[str, int]) -> Path:
    """A file of MUSIC with so many videos per class."""
    numbers = iter(range(1000))
    videos = {name: [youtube_id(next(numbers)) for _ in range(count)] for name, count in classes.items()}
    path.write_text(json.dumps({"version": 1.0, "videos": videos}, indent=4))
    return path


def write_audioset(folder: Path) -> list[Path]:
    """Both lists of segments and the list of classes: identifiers /m/0 (Speech), /m/1 (Accordion) … /m/15 (Violin,
    fiddle).
    """
    head = "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    head += "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4\n"
    head += "# YTID, start_seconds, end_seconds, positive_labels\n"
    (folder / "unbalanced_train_segments.csv").write_text(
        head + f'{youtube_id(0)}, 30.000, 40.000, "/m/0,/m/15"\n{youtube_id(1)}, 0.000, 10.000, "/m/0"\n'
    )
    rows = "".join(f'{youtube_id(number)}, 420.000, 430.000, "/m/4,/m/11"\n' for number in range(2, 12))
    (folder / "balanced_train_segments.csv").write_text(head + rows)
    classes = "".join(f"{number},/m/{number},{name}\n" for number, name in enumerate(CLASS_NAMES, 1))
    (folder / "class_labels_indices.csv").write_text(f'index,mid,display_name\n0,/m/0,"Speech"\n{classes}')
    return [
        folder / name
        for name in ("unbalanced_train_segments.csv", "balanced_train_segments.csv", "class_labels_indices.csv")
    ]


def write_vggsound(path: Path) -> Path:
    """A list of three clips."""
    rows = [f'{youtube_id(0)},30,"female speech, woman speaking",train', f"{youtube_id(1)},0,dog barking,train"]
    path.write_text("\n".join([*rows, f"{youtube_id(2)},118,playing harp,test"]) + "\n")
    return path


def write_clean(path: Path) -> Path:
    """CLIPSep's list with two clips, of which the second is not in `write_vggsound`'s."""
    places = ("data/vggsound/audio/b/x/", "data/vggsound/preprocessed/b/x/")
    rows = [
        f"{places[0]}{youtube_id(number)}.wav,{places[1]}{youtube_id(number)},12,playing harp\n" for number in (2, 3)
    ]
    path.write_text("".join(rows))
    return path


def write_esc50(path: Path) -> Path:
    """Two sounds."""
    head = "filename,fold,target,category,esc10,src_file,take\n"
    path.write_text(head + "1-100032-A-0.wav,1,0,dog,True,100032,A\n5-9032-A-12.wav,5,12,crackling_fire,True,9032,A\n")
    return path
