"""Boxes of things: a detector's list, the maps of `lite`, and what they cut out of frames."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import MeanColour

from trisep.errors import MediaError
from trisep.queries.boxes import (
    NOTHING_DETECTED,
    BoxList,
    DetectedBox,
    as_tensors,
    boxes_at,
    boxes_of_maps,
    cut_out,
    different_first,
)
from trisep.types import Place


def box(label: str, x: float = 0.0, score: float = 1.0, time: float | None = None) -> DetectedBox:
    return DetectedBox(Place(x, 0.0, 0.5, 1.0, time_seconds=time), label, score)


def written(folder: Path, *rows: str, columns: str = "path,x,y,width,height,label,score,time_seconds") -> Path:
    (folder / "boxes.csv").write_text("\n".join([columns, *rows]) + "\n")
    return folder / "boxes.csv"


def test_a_list_is_read_by_file_the_surest_box_first(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "train/a.mp4,0,0,0.5,1,violin,0.4,2.5",
        "train/a.mp4,0.25,0,0.5,1,tuba,0.9,",
        "dev/a.mp4,0,0,1,1,harp,0.9,",
        "b.mp4,0,0,1,1,violin,1,0",
    )
    found = BoxList(file)
    assert found.labels == ("harp", "tuba", "violin")
    assert found.of("train/a.mp4") == [box("tuba", 0.25, 0.9), box("violin", 0.0, 0.4, 2.5)]
    assert found.of("/videos/train/a.mp4") == found.of("train/a.mp4")
    assert [one.label for one in found.of("/videos/deeper/b.mp4")] == ["violin"]
    assert [one.label for one in found.of("a.mp4")] == ["tuba", "harp", "violin"]
    assert found.of("other/a.mp4") == found.of("c.mp4") == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.mp4,0,0,one,1,tuba,1,", "row 2: could not convert string to float: 'one'; expected numbers in x"),
        ("a.mp4,0,0,0,1,tuba,1,", "row 2: expected a label, a score of 0 to 1, and a width and height above 0"),
        ("a.mp4,0,0,1,1, ,1,", "row 2: expected a label"),
        ("a.mp4,0,0,1,1,tuba,7,", "row 2: expected a label, a score of 0 to 1"),
        ("a.mp4,0,0,nan,1,tuba,1,", "row 2: expected a label"),
        ("a.mp4,0,0,320,200,tuba,1,", "row 2: the box lies outside the picture: coordinates are shares of it"),
        ("a.mp4,0,0,1,1,tuba,1,-3", "row 2: the box: the time must be a number of seconds"),
        (",0,0,1,1,tuba,1,", "row 2: names no path"),
    ],
)
def test_a_row_that_is_no_box_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(MediaError) as refused:
        BoxList(written(tmp_path, row))
    assert message in str(refused.value) and str(tmp_path / "boxes.csv") in str(refused.value)
    with pytest.raises(MediaError, match="lacks the column score"):
        BoxList(written(tmp_path, columns="path,x,y,width,height,label"))


def test_a_moment_has_the_boxes_of_the_nearest_time_within_a_second_and_those_of_all_times() -> None:
    boxes = [box("tuba", time=1.0), box("still"), box("harp", time=3.0), box("violin", time=1.0)]
    found = boxes_at(boxes, [0.2, 1.9, 2.6, 4.5], max_boxes=2)
    assert [[one.label for one in each] for each in found] == [
        ["tuba", "still"],
        ["tuba", "still"],
        ["still", "harp"],
        ["still"],
    ]


def test_a_box_holds_the_connected_cells_around_the_best_one() -> None:
    maps = np.zeros((4, 7, 7), np.float32)
    maps[2, 1:3, 2:5] = 0.5
    maps[2, 1, 2] = 0.8
    maps[2, 6, 6] = 0.7  # as sure, but elsewhere
    maps[0, 4:7, 0] = 0.3
    maps[1, 1:3, 2:4] = 0.6  # most of where the surest box is: the same thing
    maps[3, 5, 5] = 0.05  # hardly seen
    found = boxes_of_maps(maps, ["flute", "fiddle", "violin", "cup"], max_boxes=4)
    assert [one.label for one in found] == ["violin", "flute"]
    assert found[0].place == Place(2 / 7, 1 / 7, 3 / 7, 2 / 7) and found[0].score == pytest.approx(0.8)
    assert found[1].place == Place(0.0, 4 / 7, 1 / 7, 3 / 7)
    assert [one.label for one in boxes_of_maps(maps, ["flute", "fiddle", "violin", "cup"], max_boxes=1)] == ["violin"]
    assert [one.label for one in boxes_of_maps(maps / 20, ["a", "b", "c", "d"], max_boxes=4)] == ["c"]


def test_cuts_show_the_surest_of_every_class_before_second_ones() -> None:
    assert different_first([7, 7, 2, 7, 2, 5]) == [0, 2, 5, 1, 3, 4]
    frames = [np.full((4, 8, 3), number, np.uint8) for number in range(2)]
    frames[1][:, 4:] = 9
    found = [[box("tuba"), box("tuba", 0.25)], [box("tuba"), box("harp", 0.5)]]
    cuts = cut_out(frames, found, 3)
    assert [(cut.label, cut.frame) for cut in cuts] == [("tuba", 0), ("harp", 1), ("tuba", 1)]
    assert [cut.picture.shape for cut in cuts] == [(4, 4, 3)] * 3 and (cuts[1].picture == 9).all()
    (whole,) = cut_out(frames, [[], []])
    assert whole.label == NOTHING_DETECTED and whole.frame == 0 and whole.picture.shape == (4, 8, 3)


def test_the_cuts_of_several_queries_fill_one_tensor() -> None:
    frames = [np.full((4, 8, 3), number, np.uint8) for number in (10, 20)]
    cuts = [cut_out(frames, [[box("tuba")], [box("harp"), box("tuba")]]), cut_out(frames[1:], [[box("oboe")]])]
    found = as_tensors(cuts, MeanColour())
    assert found["box_labels"].tolist() == [[0, 1, 0], [0, -1, -1]]
    assert found["box_frames"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert found["box_vectors"][:, :, 0].tolist() == [[10, 20, 20], [20, 20, 20]]
    pictures = as_tensors(cuts, None)["frames"]
    assert pictures.shape == (2, 3, 3, 224, 224) and pictures.dtype == torch.uint8
    assert pictures[:, :, 0, 0, 0].tolist() == [[10, 20, 20], [20, 20, 20]]
