"""Boxes beside a store: found or listed, embedded by what they cut out, resumed, and read as queries."""

from pathlib import Path

import numpy as np
import pytest
from clip_folders import MeanColour, write_folder
from rich.progress import Progress

import trisep.store.boxes
from trisep.encoders.lite import LiteEncoder
from trisep.errors import ConfigError, StoreError
from trisep.media.tables import read_rows
from trisep.queries.boxes import NOTHING_DETECTED, DetectedBox
from trisep.queries.regions import crop
from trisep.store.boxes import BoxSettings, load_boxes, write_boxes
from trisep.store.check import check_store
from trisep.store.embed import embed
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore
from trisep.training.queries import BoxQueries
from trisep.types import Place


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClipStore:
    """Four clips of two frames each, in two shards."""
    monkeypatch.setattr("trisep.store.embed.load_encoder", lambda name: MeanColour())
    videos = write_folder(tmp_path / "videos", 4)
    prepare(videos, tmp_path / "store", PrepareSettings(files_per_shard=3, short_side=32, num_workers=1))
    embed(tmp_path / "store", "lite")
    return ClipStore(tmp_path / "store")


def listed(folder: Path, *rows: str) -> BoxSettings:
    file = folder / "boxes.csv"
    file.write_text("\n".join(["path,time_seconds,x,y,width,height,label,score", *rows]) + "\n")
    assert len(list(read_rows(file, ("path",)))) == len(rows)
    return BoxSettings(source=str(file), max_boxes=2)


def write(clips: ClipStore, settings: BoxSettings, *, overwrite: bool = False) -> None:
    with Progress(disable=True) as progress:
        write_boxes(clips, MeanColour(), settings, progress, overwrite=overwrite)


def test_the_boxes_of_a_list_are_embedded_by_what_they_cut_out_and_read_as_queries(
    clips: ClipStore, tmp_path: Path
) -> None:
    first, second, third = (clips.source(number) for number in range(3))
    moments = clips.frame_times(1)
    rows = (
        f"videos/{first},,0,0,0.5,1,tuba,0.5",
        f"{first},,0.5,0,0.5,1,violin,0.9",
        f"{first},,0,0.5,1,0.5,violin,0.8",
        f"{second},{moments[1]},0,0,1,1,harp,1",
        f"{third},99,0,0,1,1,tuba,1",
    )
    write(clips, listed(tmp_path, *rows))
    found = load_boxes(clips, "lite")
    assert found.names == ("harp", "tuba", "violin")
    assert [found.labels[found.of(row)].tolist() for row in range(8)] == [[2, 2], [2, 2], [0], [0], [], [], [], []]
    frames = clips.read_frames(0)
    for row in range(2):
        halves = [crop(frames[row], Place(0.5, 0, 0.5, 1), ""), crop(frames[row], Place(0, 0.5, 1, 0.5), "")]
        np.testing.assert_array_equal(found.vectors[found.of(row)], MeanColour().encode_image(halves).numpy())
    check_store(clips.path).raise_if_damaged()

    queries = BoxQueries(clips, "lite", num_boxes=3)
    assert queries.label_names == ("harp", "tuba", "violin", NOTHING_DETECTED)
    read = queries.vectors(0, np.array([1]))
    assert read["box_labels"].tolist() == [2, 2, -1]
    np.testing.assert_array_equal(read["box_vectors"], found.vectors[[2, 3, 2]])
    pictures = queries.cuts(1, np.array([0, 1]))
    assert pictures["box_labels"].tolist() == [0, 0, -1]
    assert pictures["frames"].shape == (3, 3, 224, 224)
    colours = clips.read_frames(1).mean(axis=(1, 2))
    np.testing.assert_allclose(pictures["frames"].mean(axis=(2, 3)), colours[[0, 1, 0]], atol=1.5)
    nothing = queries.vectors(2, np.array([0]))
    assert nothing["box_labels"].tolist() == [3, -1, -1]
    np.testing.assert_array_equal(nothing["box_vectors"][0], clips.load_vectors("lite")[4])


def test_boxes_are_kept_found_again_or_replaced_when_told(
    clips: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="no boxes by 'lite' for 2 of 2 shards; run `trisep embed .* --boxes lite`"):
        load_boxes(clips, "lite")
    row = f"{clips.source(0)},,0,0,0.5,1,tuba,0.5"
    write(clips, listed(tmp_path, row))
    stamps = {path: path.stat().st_mtime_ns for path in (clips.path / "shards").glob("*.boxes.*")}
    write(clips, listed(tmp_path, row))
    assert len(stamps) == 2 and all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    with pytest.raises(StoreError, match="holds boxes of another source, .* add --overwrite"):
        write(clips, listed(tmp_path, row.replace("tuba", "harp")))
    write(clips, listed(tmp_path, row.replace("tuba", "harp")), overwrite=True)
    assert load_boxes(clips, "lite").names == ("harp",)
    with pytest.raises(ConfigError, match="--max-boxes: expected at least 1, got 0"):
        BoxSettings(max_boxes=0)

    class Lite(LiteEncoder):
        class_names = (("sheep", "ovis"), ("goat",))  # type: ignore[assignment]
        fingerprint = "no weights"  # type: ignore[assignment]

    monkeypatch.setattr(trisep.store.boxes, "load_encoder", lambda name: Lite())
    seen = DetectedBox(Place(0, 0, 0.5, 0.5), "goat", 0.7)
    monkeypatch.setattr(trisep.store.boxes, "find_boxes", lambda lite, frame, max_boxes: [seen] * max_boxes)
    write(clips, BoxSettings(max_boxes=3), overwrite=True)
    found = load_boxes(clips, "lite")
    assert found.names == ("sheep", "goat") and found.labels.tolist() == [1] * 24
    assert found.frames.tolist() == [row for row in range(8) for _ in range(3)]
