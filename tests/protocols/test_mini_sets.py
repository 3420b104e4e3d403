"""The halves of the miniature sets: disjoint by recording, frozen, of different labels, asked as a person would ask."""

import csv
import pickle
from pathlib import Path

import pytest

from trisep.errors import MediaError
from trisep.protocols import protocol
from trisep.protocols.clip_lists import half_of, read_clips
from trisep.protocols.mini_sets import PROTOCOLS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty held-out clips of twenty recordings and four labels, and training clips that must not come in."""
    rows = [
        {
            "path": f"{split}/{number}.ogg",
            "split": split,
            "label": f"label {number % 4}",
            "recording_id": f"r{number // 2}",
            "query": f"something {number % 4}",
        }
        for split in ("dev", "train")
        for number in range(40)
    ]
    with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def test_the_halves_share_no_recording_and_make_up_the_whole(data: Path) -> None:
    whole = {clip.path for clip in read_clips(data, {"dev"})}
    choosing, test = ({clip.path for clip in read_clips(data, {"dev"}, half=half)} for half in ("choosing", "test"))
    assert choosing | test == whole and not choosing & test and min(len(choosing), len(test)) > 8
    recordings = [{int(path.stem) // 2 for path in half} for half in (choosing, test)]
    assert not recordings[0] & recordings[1]
    assert {half_of(f"r{number}") for number in range(20)} == {"choosing", "test"}


def test_which_half_a_recording_is_in_never_changes() -> None:
    # `printf r0 | sha256sum` begins with dd, which is odd: choosing.
    first_bytes = {"r0": 0xDD, "dev/a.mp4": 0x02, "0001": 0x88, "violin_003": 0x19, "été": 0xBD}
    for name, byte in first_bytes.items():
        assert half_of(name) == ("choosing" if byte % 2 else "test")


@pytest.mark.parametrize("name", [one.name for one in PROTOCOLS])
def test_pairs_are_held_out_clips_of_one_half_and_of_different_labels(name: str, data: Path) -> None:
    chosen = protocol(name)
    drawn = list(chosen.pairs(data, 0))
    assert len(drawn) == 200 and drawn == list(pickle.loads(pickle.dumps(chosen)).pairs(data, 0))
    assert drawn != list(chosen.pairs(data, 1))
    for mixture in drawn:
        first, second = mixture.sources
        assert first.label != second.label
        assert {half_of(f"r{int(source.path.stem) // 2}") for source in mixture.sources} == {name.rpartition("-")[2]}
        assert {source.path.parent.name for source in mixture.sources} == {"dev"}
        assert first.query == first.label.replace("label", "something")
    assert (chosen.level_db, chosen.whole_clips, chosen.num_scored) == (-20.0, True, 2)


def test_a_list_of_one_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,split,label\n" + "".join(f"{n}.ogg,dev,dog\n" for n in range(9)))
    with pytest.raises(MediaError, match="fewer than two"):
        protocol("soundmini-test").pairs(tmp_path, 0)
