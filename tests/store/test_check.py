"""A store is checked: every kind of damage is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trisep.errors import StoreError
from trisep.media.files import sha256_of
from trisep.store.check import check_store
from trisep.store.embeddings import write_embeddings
from trisep.store.layout import embedding_path, read_manifest
from trisep.store.table import make_table

SHARD = "shards/shard-000001.tar"


@pytest.fixture
def store(store_path: Path, tmp_path: Path) -> Path:
    """A copy to damage, with embeddings of one shard."""
    copy = Path(shutil.copytree(store_path, tmp_path / "store"))
    shard = read_manifest(copy).shards[0]
    tensors = {"vectors": np.ones((shard.num_frames, 3), np.float32)}
    write_embeddings(
        embedding_path(copy, shard.name, "lite"), tensors, encoder="lite", fingerprint="f", shard_sha256=shard.sha256
    )
    return copy


def _flip_byte(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(bytes(content))


def _rewrite_manifest(store: Path, change: Callable[[dict], None]) -> None:
    manifest = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    (store / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _accept_current_bytes(store: Path) -> None:
    """Put the hashes of index and shards as they are now into the manifest, so that only what they say can be found
    wrong.
    """

    def change(manifest: dict) -> None:
        manifest["index_sha256"] = sha256_of(store / "index.jsonl")
        for shard in manifest["shards"]:
            shard["sha256"] = sha256_of(store / "shards" / f"{shard['name']}.tar")

    _rewrite_manifest(store, change)
    make_table(store, read_manifest(store))


def test_a_whole_store_is_good(store: Path) -> None:
    report = check_store(store)
    assert report.problems == ()
    assert [check.file for check in report.checks] == [
        "index.jsonl",
        "index.arrow",
        "shards/shard-000000.tar",
        "shards/shard-000000.lite.safetensors",
        SHARD,
        "shards/shard-000002.tar",
    ]
    assert sum(check.num_clips for check in report.checks if check.file.endswith("tar")) == 5
    report.raise_if_damaged()


def test_one_changed_bit_is_found_and_the_shard_named(store: Path) -> None:
    _flip_byte(store / SHARD, 5000)
    with pytest.raises(
        StoreError, match=rf"{SHARD}: its content was changed.*delete it and run the same `trisep prepare`"
    ):
        check_store(store).raise_if_damaged()


def test_missing_and_short_shards_are_found(store: Path) -> None:
    (store / SHARD).unlink()
    (store / "shards/shard-000002.tar").write_bytes(b"")
    problems = check_store(store).problems
    assert problems[0].startswith(f"{SHARD}: is missing")
    assert problems[1].startswith("shards/shard-000002.tar: has 0 bytes")
    with pytest.raises(StoreError, match="and 1 more damaged file"):
        check_store(store).raise_if_damaged()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.update(wav=[entry["wav"][0] + 512, entry["wav"][1]]), "is not where the index says"),
        (lambda entry: entry.update(num_samples=entry["num_samples"] - 1), "bytes of wav for"),
        (lambda entry: entry.update(rms_db=-3.0), "rms_db differs"),
        (lambda entry: entry.update(frame_times_seconds=[0.0, 0.5]), "times of its frames differ"),
    ],
)
def test_an_index_that_lies_is_found(store: Path, change: Callable[[dict], None], message: str) -> None:
    lines = [json.loads(line) for line in (store / "index.jsonl").read_text(encoding="utf-8").splitlines()]
    change(lines[2])
    (store / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    changed, table, *_ = check_store(store).problems
    assert changed.startswith("index.jsonl: is missing or was changed")
    assert table.startswith("index.arrow: was made from another index.jsonl; delete it and run `trisep embed")
    _accept_current_bytes(store)
    (problem,) = check_store(store).problems
    assert problem.startswith(SHARD) and message in problem


def test_a_wrong_wav_header_is_found_even_under_a_right_hash(store: Path) -> None:
    entry = json.loads((store / "index.jsonl").read_text(encoding="utf-8").splitlines()[2])
    _flip_byte(store / SHARD, entry["wav"][0] + 24)
    _accept_current_bytes(store)
    (problem,) = check_store(store).problems
    assert "wav header" in problem


def test_a_frame_that_is_no_jpeg_is_found_even_under_a_right_hash(store: Path) -> None:
    entry = json.loads((store / "index.jsonl").read_text(encoding="utf-8").splitlines()[2])
    offset, size = entry["frames"][1]
    _flip_byte(store / SHARD, offset + size - 1)
    _accept_current_bytes(store)
    (problem,) = check_store(store).problems
    assert "not a whole JPEG" in problem


def test_changed_and_foreign_embeddings_are_found(store: Path) -> None:
    path = store / "shards/shard-000000.lite.safetensors"
    _flip_byte(path, path.stat().st_size - 1)
    (problem,) = check_store(store).problems
    assert "its content was changed" in problem and "trisep embed" in problem
    path.rename(store / "shards/shard-000001.lite.safetensors")
    (problem,) = check_store(store).problems
    assert "made from another shard" in problem
