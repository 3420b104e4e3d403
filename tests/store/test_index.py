"""The index of a store: one line a clip, read back as it was written, and damage named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trisep.errors import StoreError
from trisep.store.index import ClipEntry, index_line, read_index
from trisep.store.layout import ShardInfo

ENTRY = ClipEntry(
    key="0000001",
    source="below/é.mp4",
    start_seconds=1.5,
    num_samples=16000,
    rms_db=-20.25,
    peak=0.5,
    wav_scale=1.0,
    frame_times_seconds=(0.0, 0.5),
    shard=1,
    wav=(512, 32044),
    frames=((33280, 700), (34304, 710)),
    description=(35328, 90),
)


def shard(num_clips: int, num_frames: int = 0) -> ShardInfo:
    return ShardInfo(name="shard-000001", num_clips=num_clips, num_frames=num_frames, size_bytes=10**6, sha256="")


def test_entries_come_back_in_their_order(tmp_path: Path) -> None:
    entries = (ENTRY, replace(ENTRY, key="0000000", frames=(), frame_times_seconds=()))
    (tmp_path / "index.jsonl").write_text("".join(index_line(entry) + "\n" for entry in entries))
    shards = (shard(num_clips=0), shard(num_clips=2, num_frames=2))
    assert list(read_index(tmp_path / "index.jsonl", shards)) == [(), entries]
    assert index_line(ENTRY).startswith('{"description":[35328,90],"frame_times_seconds":[0.0,0.5],')
    with pytest.raises(ValueError, match="JSON compliant"):
        index_line(replace(ENTRY, rms_db=float("nan")))


@pytest.mark.parametrize(
    "change",
    [
        {"wav": 1},
        {"wav": [1]},
        {"description": []},
        {"wav": [1, 2, 3]},
        {"frames": [[1]]},
        {"frames": 3},
        {"unknown": 1},
        {"wav": ["a", "b"]},
        {"key": ...},
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    content = {name: value for name, value in {**json.loads(index_line(ENTRY)), **change}.items() if value is not ...}
    for text in (json.dumps(content), "[]", "{", index_line(ENTRY)[:-1]):
        (tmp_path / "index.jsonl").write_text(index_line(ENTRY) + "\n" + text + "\n")
        with pytest.raises(StoreError, match="index.jsonl: cannot be read as the index of a clip store"):
            list(read_index(tmp_path / "index.jsonl", (shard(num_clips=0), shard(num_clips=2, num_frames=4))))
    with pytest.raises(StoreError, match="absent.jsonl: cannot be read"):
        list(read_index(tmp_path / "absent.jsonl", ()))


def test_an_index_of_other_counts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.jsonl").write_text(2 * (index_line(ENTRY) + "\n"))
    for shards, message in (
        ((shard(0), shard(3, 6)), "2 clips where the manifest counts 3"),
        ((shard(0), shard(1, 2)), "more clips than the manifest counts"),
        ((shard(0), shard(2, 3)), "4 frames in shard-000001 where the manifest counts 3"),
        ((shard(2, 4), shard(0)), "lies outside its shard"),
    ):
        with pytest.raises(StoreError, match=message):
            list(read_index(tmp_path / "index.jsonl", shards))
