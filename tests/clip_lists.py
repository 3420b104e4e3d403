"""Lists of clips for the tests of protocols."""

import csv
from collections.abc import Sequence
from pathlib import Path


def write_list(file: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    """A list with the columns path, split, label and one more, which is not read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "split", "label", "source"])
        writer.writerows([*row, "ours"] for row in rows)
    return file


def avmini_rows() -> list[tuple[str, str, str]]:
    """Rows like those of avmini's manifest: 12 dev clips of four labels, others, two duets, five noises."""
    labels = ["dog", "violin", "rain", "flute"]
    rows = [(f"dev/{index:02d}.mp4", "dev", labels[index % 4]) for index in range(12)]
    rows += [(f"train/{index:02d}.mp4", "train", "never") for index in range(5)]
    rows += [("duet_dev/p0.mp4", "duet_dev", "harp+drum kit"), ("duet_dev/p1.mp4", "duet_dev", "dog+rain")]
    return rows + [(f"offscreen/n{index}.opus", "offscreen", "siren") for index in range(5)]
