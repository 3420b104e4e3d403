"""The pair lists of avmini, with noise off screen and as duets."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from clip_lists import avmini_rows, write_list

from trisep.errors import MediaError
from trisep.protocols import avmini_duets, avmini_offscreen, protocol
from trisep.protocols.avmini import LACKING, NUM_MIXTURES, PROTOCOL, mixtures

LABELS = ["dog", "violin", "rain", "flute"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_list(tmp_path / "manifest.csv", avmini_rows())
    return tmp_path


def test_the_list_is_the_same_on_every_call_and_another_for_another_seed(data: Path) -> None:
    drawn = list(mixtures(data))
    assert len(drawn) == NUM_MIXTURES == 200
    assert drawn == list(mixtures(data, 0)) != list(mixtures(data, 1))
    assert list(islice(mixtures(data), 3)) == drawn[:3]


def test_a_mixture_holds_two_held_out_clips_of_different_labels(data: Path) -> None:
    drawn = list(mixtures(data))
    assert [mixture.index for mixture in drawn] == list(range(200))
    for mixture in drawn:
        first, second = mixture.sources
        assert first.label != second.label
        for source in (first, second):
            assert source.path.parent == data / "dev"
            assert source.label == LABELS[int(source.path.stem) % 4]
            assert source.group == ("lacking" if source.label in LACKING else "known")
    counts = Counter(source.path for mixture in drawn for source in mixture.sources)
    assert len(counts) == 12 and max(counts.values()) < 3 * min(counts.values())
    assert (PROTOCOL.level_db, PROTOCOL.templates) == (-20.0, ("a photo of {}",))


def test_off_screen_noise_is_added_to_the_same_pairs(data: Path) -> None:
    plain, noisy = list(mixtures(data, 3)), list(avmini_offscreen.mixtures(data, 3))
    assert [mixture.sources for mixture in noisy] == [mixture.sources for mixture in plain]
    noises = Counter(mixture.interference for mixture in noisy)
    assert set(noises) == {data / "offscreen" / f"n{index}.opus" for index in range(5)} and min(noises.values()) > 20
    assert protocol("avmini-offscreen").interference_db == -6.0


def test_a_duet_is_two_halves_of_one_picture(data: Path) -> None:
    (first, second) = avmini_duets.mixtures(data)
    assert [source.path.name for source in first.sources] == ["p0_left.flac", "p0_right.flac"]
    assert [source.label for source in first.sources] == ["harp", "drum kit"]
    assert {source.picture for source in second.sources} == {data / "duet_dev" / "p1.mp4"}
    places = [(source.place.x, source.place.y) for source in first.sources if source.place]
    assert places == [(0.25, 0.5), (0.75, 0.5)]


def test_a_duet_without_two_labels_is_refused(tmp_path: Path) -> None:
    write_list(tmp_path / "manifest.csv", [("duet_dev/p0.mp4", "duet_dev", "harp")])
    with pytest.raises(MediaError, match=r"label of p0.mp4 to be left\+right, got 'harp'"):
        list(avmini_duets.mixtures(tmp_path))


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        MediaError,
        match=r"holds no manifest.csv; give a folder that does, or a CSV with the columns path, split, label",
    ):
        next(mixtures(tmp_path))
    with pytest.raises(MediaError, match="gone: no such file or folder; give a folder with manifest.csv"):
        next(mixtures(tmp_path / "gone"))
    (tmp_path / "manifest.csv").write_text("path,class\na.mp4,dog\n")
    with pytest.raises(MediaError, match="manifest.csv: lacks the columns label, split"):
        next(mixtures(tmp_path))
    write_list(tmp_path / "manifest.csv", [(f"{index}.mp4", "dev", "dog") for index in range(5)])
    with pytest.raises(MediaError, match="fewer than two"):
        next(mixtures(tmp_path))


def test_the_seed_of_a_list_moves_every_draw(data: Path) -> None:
    names = [[source.path.name for source in mixture.sources] for seed in (0, 1) for mixture in mixtures(data, seed)]
    assert np.mean([a == b for a, b in zip(names[:200], names[200:], strict=True)]) < 0.1
