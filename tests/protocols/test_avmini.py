import csv
from collections import Counter
from pathlib import Path

import pytest

from trisep.errors import ConfigError, MediaError
from trisep.protocols import protocol
from trisep.protocols.avmini import LACKING, LEVEL_DB, NUM_MIXTURES, SPLITS, mixtures

LABELS = ["dog", "violin", "rain", "flute"]


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Path:
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"path": f"dev/{index:02d}.mp4", "split": "dev", "label": LABELS[index % 4], "source": "ours"} for index in range(12)]
    rows += [{"path": f"train/{index:02d}.mp4", "split": "train", "label": "never", "source": "ours"} for index in range(5)]
    return write_manifest(tmp_path, rows)


def test_the_list_is_the_same_on_every_call_and_another_for_another_seed(data: Path) -> None:
    drawn = mixtures(data)
    assert len(drawn) == NUM_MIXTURES == 200
    assert drawn == mixtures(data, seed=0) != mixtures(data, seed=1)
    assert mixtures(data, limit=3) == drawn[:3]


def test_a_mixture_holds_two_held_out_clips_of_different_labels(data: Path) -> None:
    drawn = mixtures(data)
    assert [mixture.index for mixture in drawn] == list(range(200))
    for mixture in drawn:
        first, second = mixture.sources
        assert first.label != second.label
        assert mixture.level_db == LEVEL_DB
        for source in (first, second):
            assert source.path.parent == data / "dev"
            assert source.text == f"a photo of {source.label}"
            assert source.label == LABELS[int(source.path.stem) % 4]
    counts = Counter(source.path for mixture in drawn for source in mixture.sources)
    assert len(counts) == 12 and max(counts.values()) < 3 * min(counts.values())


def test_the_splits_part_the_labels() -> None:
    for label in ("dog", *LACKING):
        assert [name for name, belongs in SPLITS.items() if belongs(label)] == ["lacking" if label in LACKING else "known"]


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no manifest.csv; give the folder of the avmini set"):
        mixtures(tmp_path)
    write_manifest(tmp_path, [{"path": "a.mp4", "class": "dog"}])
    with pytest.raises(MediaError, match="manifest.csv: lacks the column label, split"):
        mixtures(tmp_path)
    write_manifest(tmp_path, [{"path": f"{index}.mp4", "split": "dev", "label": "dog"} for index in range(5)])
    with pytest.raises(MediaError, match="needs clips of at least two labels"):
        mixtures(tmp_path)


def test_protocols_are_found_by_name() -> None:
    assert protocol("avmini").mixtures is mixtures
    with pytest.raises(ConfigError, match="unknown protocol 'avmaxi': expected one of avmini"):
        protocol("avmaxi")
