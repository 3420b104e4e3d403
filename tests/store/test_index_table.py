"""The index as a table: the values of the lines, read when they are asked for, and one line for whatever is damaged."""

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trisep.errors import StoreError
from trisep.store import table as table_module
from trisep.store.check import check_store
from trisep.store.index import read_index
from trisep.store.layout import ShardInfo, read_manifest
from trisep.store.read import ClipStore
from trisep.store.table import ClipIndex, make_table, open_index


@pytest.fixture
def store(store_path: Path, tmp_path: Path) -> Path:
    """A copy to damage: five clips in three shards."""
    return Path(shutil.copytree(store_path, tmp_path / "store"))


def rewrite(store: Path, change: Callable[[int, pa.RecordBatch], pa.RecordBatch]) -> None:
    """Replace each record batch of the table, given with its number."""
    with pa.OSFile(str(store / "index.arrow"), "rb") as file:
        reader = pa.ipc.open_file(pa.BufferReader(file.read()))
    batches = [change(number, reader.get_batch(number)) for number in range(reader.num_record_batches)]
    schema = batches[0].schema.with_metadata(reader.schema.metadata)
    with pa.OSFile(str(store / "index.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def with_value(name: str, value: Any) -> Callable[[int, pa.RecordBatch], pa.RecordBatch]:
    """A change that gives the second clip of the store another value."""

    def change(number: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch.to_pylist()
        if number == 0:
            rows[1][name] = value
        return pa.RecordBatch.from_pylist(rows, schema=batch.schema)

    return change


def read_everything(store: Path) -> list[Any]:
    """All that an index can be asked for."""
    clips = ClipStore(store)
    slices = [clips.frame_slice(clip) for clip in range(len(clips))]
    return [list(clips.entries), slices, clips.entries.num_frames().tolist(), clips.entries.num_samples().tolist()]


def test_the_table_says_what_the_lines_say(store: Path) -> None:
    manifest = read_manifest(store)
    lines = list(read_index(store / "index.jsonl", manifest.shards))
    expected = [entry for entries in lines for entry in entries]
    table = open_index(store, manifest)
    assert list(table) == [table[clip] for clip in range(5)] == expected
    assert [table.of_shard(number) for number in range(3)] == lines
    assert (table[-1], len(table)) == (expected[-1], 5)
    assert [table.clips_of(number) for number in range(3)] == [range(2), range(2, 4), range(4, 5)]
    assert [table.frames_of(number) for number in range(3)] == [range(4), range(4, 8), range(8, 10)]
    assert [table.frame_slice(clip) for clip in range(5)] == [slice(2 * clip, 2 * clip + 2) for clip in range(5)]
    assert table.num_frames().tolist() == [2] * 5
    assert table.num_samples().tolist() == [entry.num_samples for entry in expected]
    assert list(pickle.loads(pickle.dumps(table))) == expected
    for clip in (5, -6):
        with pytest.raises(IndexError, match="the store holds 5 clips"):
            table[clip]


def test_opening_reads_no_clip_and_no_line(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "read_index", lambda *_: pytest.fail("the lines were read"))
    monkeypatch.setattr(ClipIndex, "_read_batch", lambda *_: pytest.fail("a shard was read"))
    assert len(ClipStore(store)) == 5


def test_lines_that_were_changed_are_read_in_place_of_the_table(store: Path) -> None:
    index = store / "index.jsonl"
    index.write_text(index.read_text().replace('"source":"', '"source":"other_'))
    clips = ClipStore(store)
    assert [clips.source(clip)[:6] for clip in range(5)] == ["other_"] * 5
    assert pickle.loads(pickle.dumps(clips)).source(2) == clips.source(2)
    assert "made from another index.jsonl" in check_store(store).problems[1]
    make_table(store, read_manifest(store))
    assert read_everything(store)[0] == list(clips.entries)


def test_a_store_without_the_table_opens_and_the_table_is_made_again(store: Path) -> None:
    expected, whole = (store / "index.arrow").read_bytes(), read_everything(store)
    (store / "index.arrow").unlink()
    assert read_everything(store) == whole
    assert not (store / "index.arrow").exists()  # who reads does not write
    make_table(store, read_manifest(store))
    assert (store / "index.arrow").read_bytes() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value("shard", 1), "the clip .* lies outside its shard"),
        (with_value("wav", [0, 10**9]), "lies outside its shard"),
        (with_value("frames", [[10**9, 9]] * 2), "lies outside its shard"),
        (with_value("frames", [[512, 9]]), "other than 4 frames in a shard"),
        (with_value("peak", float("nan")), "clip 1.peak: expected a finite number"),
        (with_value("wav_scale", 0.0), "expected a scale above 0"),
        (with_value("description", None), "clip 1.description: expected 2 values"),
        (with_value("source", None), "a clip has no name"),
        (with_value("source", b"\xff"), "can't decode"),
        (lambda number, batch: batch.slice(number % 2), "1 clips in a shard of 2"),
        (lambda number, batch: batch.drop_columns(["peak"]), "other columns"),
    ],
)
def test_a_table_that_lies_is_one_line(
    store: Path, change: Callable[[int, pa.RecordBatch], pa.RecordBatch], message: str
) -> None:
    rewrite(store, change)
    with pytest.raises(StoreError, match=rf"index\.arrow: cannot .*{message}.*; delete it, then index.jsonl is read"):
        read_everything(store)
    (problem,) = check_store(store).problems
    assert problem.startswith("index.arrow: cannot be read; delete it and run `trisep embed")


def test_a_list_that_leads_out_of_the_file_is_refused(store: Path) -> None:
    def change(number: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        if number:
            return batch
        times = batch["frame_times_seconds"]
        offsets = pa.py_buffer(np.array([0, 10**6, 4], np.int32))
        lying = pa.ListArray.from_buffers(times.type, len(batch), [None, offsets], children=[times.values])
        arrays = [lying if name == "frame_times_seconds" else batch[name] for name in batch.schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)

    rewrite(store, change)
    with pytest.raises(StoreError, match=r"index\.arrow: cannot be read"):
        read_everything(store)


def test_other_values_are_found_by_the_check(store: Path) -> None:
    rewrite(store, with_value("rms_db", -3.0))
    read_everything(store)
    (problem,) = check_store(store).problems
    assert problem.startswith("index.arrow: says other things than index.jsonl; delete it")


def test_too_many_shards_are_refused(store: Path) -> None:
    shards = read_manifest(store).shards
    with pytest.raises(StoreError, match="3 shards where the manifest has 2"):
        ClipIndex(store / "index.arrow", shards[:2])
    empty = ShardInfo(name="shard-000003", num_clips=2**62, num_frames=0, size_bytes=0, sha256="")
    with pytest.raises(StoreError, match="clips in a shard of"):
        ClipIndex(store / "index.arrow", (*shards[:2], empty))[5]


def test_damaged_bytes_give_the_same_values_or_one_line(store: Path) -> None:
    whole, generator = (store / "index.arrow").read_bytes(), random.Random(0)
    expected, refused = json.dumps(len(ClipStore(store))), 0
    for attempt in range(150):
        content = bytearray(whole[: generator.randrange(len(whole))] if attempt % 5 == 0 else whole)
        for _ in range(generator.randrange(1, 4)):
            if content:
                content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        (store / "index.arrow").write_bytes(content)
        try:
            assert json.dumps(len(read_everything(store)[0])) == expected
        except StoreError as error:
            refused += 1
            assert "\n" not in str(error) and "index.arrow" in str(error)
    assert refused > 30
