"""Training from a store that lies elsewhere: the same clips, read window by window, and a run that goes on in them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from clip_folders import write_folder
from training_stores import embed_with_noise, short_recipe, tensor_hashes

from trisep.cli import main
from trisep.errors import ConfigError, StoreError
from trisep.recipes import Recipe
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore
from trisep.store.stream import StreamedStore, plan_windows
from trisep.training.data import MixtureDataset
from trisep.training.loop import TrainSettings, train
from trisep.training.stream import open_streamed, streamed_batches

ADDRESS = "memory://bucket/store"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven clips in four shards."""
    folder = tmp_path_factory.mktemp("streamed")
    videos = write_folder(folder / "videos", 11)
    prepare(videos, folder / "store", PrepareSettings(files_per_shard=3, short_side=32, num_workers=1))
    return embed_with_noise(folder / "store")


@pytest.fixture(autouse=True)
def bucket(store: Path) -> fsspec.AbstractFileSystem:
    """The store in memory, at `ADDRESS`."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for path in store.rglob("*.*"):
        memory.pipe_file(f"/bucket/store/{path.relative_to(store)}", path.read_bytes())
    return memory


def dataset(recipe: Recipe) -> MixtureDataset:
    return MixtureDataset(open_streamed(ADDRESS, recipe), recipe, seed=3)  # type: ignore[arg-type]


def read_batches(recipe: Recipe, **settings: Any) -> list[dict[str, torch.Tensor]]:
    return list(streamed_batches(dataset(recipe), **{"window_clips": 5, "last_step": 12, **settings}))


def same(a: list[dict[str, torch.Tensor]], b: list[dict[str, torch.Tensor]]) -> bool:
    return len(a) == len(b) and all(
        x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in zip(a, b, strict=True)
    )


def test_windows_cut_the_shards_without_gaps_or_overlaps() -> None:
    num_clips, order = [3, 0, 4, 2, 3], [3, 0, 1, 4, 2]
    stream = [(shard, place) for shard in order for place in range(num_clips[shard])]
    for size in range(1, 14):
        begin = 0
        for window in plan_windows(num_clips, order, size):
            assert stream[begin] == (order[window.place], window.position)
            assert 0 < window.num_clips <= size
            begin += window.num_clips
        assert begin == 12
    assert plan_windows([0], [0], 5) == plan_windows([3], [], 5) == []


@pytest.mark.parametrize("tensor", ["vectors", "regions"])
def test_what_is_streamed_is_what_the_store_holds(store: Path, tensor: str) -> None:
    local = ClipStore(store)
    streamed = StreamedStore(ADDRESS, encoder_name="lite", tensor=tensor, pictures=True)
    order, position = [2, 0, 3], 1
    clips = list(streamed.read(order, position))
    numbers = [clip for shard in order for clip in local.entries.clips_of(shard)][position:]
    streamed.show(clips)
    rows = local.load_vectors("lite") if tensor == "vectors" else local.load_regions("lite")
    assert len(streamed) == len(numbers) == 7 and streamed.embedding_info("lite").fingerprint == "noise"
    for clip, number in enumerate(numbers):
        assert (streamed.source(clip), streamed.rms_db(clip)) == (local.source(number), local.rms_db(number))
        assert streamed.frame_times(clip) == local.frame_times(number)
        np.testing.assert_array_equal(streamed.read_waveform(clip), local.read_waveform(number))
        np.testing.assert_array_equal(streamed.read_waveform(clip, 100, 50), local.read_waveform(number, 100, 50))
        np.testing.assert_array_equal(streamed.read_frames(clip), local.read_frames(number))
        given = streamed.load_vectors("lite")[streamed.frame_slice(clip)]
        np.testing.assert_array_equal(given, rows[local.frame_slice(number)])


@pytest.mark.parametrize("kind", ["image", "regions", "frames", "none"])
def test_batches_go_on_at_any_step(kind: str) -> None:
    recipe = replace(short_recipe(), query=kind)  # type: ignore[arg-type]
    whole = read_batches(recipe, first_step=0)
    assert len(whole) == 12 and not same(whole[:1], whole[1:2])
    for first in (1, 5, 11, 12):
        assert same(read_batches(recipe, first_step=first), whole[first:])


def test_each_process_reads_shards_of_its_own() -> None:
    recipe = short_recipe(batch_size=4)
    ranks = [read_batches(recipe, first_step=0, rank=rank, num_ranks=2) for rank in range(2)]
    assert [len(batch["sources"]) for batch in ranks[0]] == [2] * 12
    assert not same(ranks[0], ranks[1])
    assert same(read_batches(recipe, first_step=7, rank=1, num_ranks=2), ranks[1][7:])


@pytest.mark.slow
def test_workers_take_turns_and_go_on_where_they_were() -> None:
    recipe = short_recipe()
    whole = read_batches(recipe, first_step=0, num_workers=2)
    assert len(whole) == 12
    for first in (3, 4):
        assert same(read_batches(recipe, first_step=first, num_workers=2), whole[first:])
    with pytest.raises(ConfigError, match="--workers: 5 processes would read 4 shards"):
        read_batches(recipe, first_step=0, num_workers=5)


@pytest.mark.slow
def test_a_streamed_run_that_was_killed_goes_on_to_the_same_bits(store: Path, tmp_path: Path) -> None:
    def killed(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole = short_recipe(num_steps=6)
    settings = TrainSettings(
        data=ADDRESS, out=tmp_path / "whole", validation=store, cpu=True, num_workers=0, shuffle_buffer=5
    )
    train(whole, settings)
    with pytest.raises(KeyboardInterrupt):
        train(whole, replace(settings, out=tmp_path / "killed"), on_step=killed)
    train(whole, replace(settings, out=tmp_path / "killed"))
    assert tensor_hashes(tmp_path / "killed") == tensor_hashes(tmp_path / "whole")


def test_what_a_stream_does_not_bring_is_told_before_the_first_step(store: Path, tmp_path: Path) -> None:
    settings = TrainSettings(data=ADDRESS, out=tmp_path / "run", cpu=True)
    with pytest.raises(ConfigError, match=f"--data {ADDRESS}: .* is not validated on; add --validation"):
        train(short_recipe(), settings)
    for changes in ({"query": "boxes"}, {"supervision": "labels"}):
        with pytest.raises(ConfigError, match="needs labels, captions or boxes, too; copy the store"):
            open_streamed(ADDRESS, replace(short_recipe(), **changes))  # type: ignore[arg-type]
    fast = replace(short_recipe(), signal=replace(short_recipe().signal, sample_rate_hz=8000))
    with pytest.raises(StoreError, match="prepare it again with --sample-rate-hz 8000"):
        open_streamed(ADDRESS, fast)


def test_damage_elsewhere_is_one_line(bucket: fsspec.AbstractFileSystem) -> None:
    recipe, shard = short_recipe(), "/bucket/store/shards/shard-000001"
    whole = bucket.cat_file(f"{shard}.tar")
    for content, message in (
        (whole[: len(whole) // 2], "cannot be read"),
        (whole.replace(b'"num_samples": ', b'"num_samples":-'), "another wav header|cannot be read"),
        (bucket.cat_file("/bucket/store/shards/shard-000003.tar"), "2 clips where the manifest counts 3"),
    ):
        bucket.pipe_file(f"{shard}.tar", content)
        with pytest.raises(StoreError, match=rf"{ADDRESS}/shards/shard-000001\.tar: .*({message})"):
            read_batches(recipe, first_step=0)
    bucket.pipe_file(f"{shard}.tar", whole)
    vectors = bucket.cat_file(f"{shard}.lite.safetensors")
    for content, message in (
        (bucket.cat_file("/bucket/store/shards/shard-000000.lite.safetensors"), "made from another shard"),
        (vectors[:-4], "damaged embeddings"),
    ):
        bucket.pipe_file(f"{shard}.lite.safetensors", content)
        with pytest.raises(StoreError, match=message):
            read_batches(recipe, first_step=0)
    bucket.rm(f"{shard}.lite.safetensors")
    with pytest.raises(StoreError, match=r"shard-000001.lite.safetensors: cannot be read .*; embed the store with"):
        read_batches(recipe, first_step=0)


def test_an_address_without_a_store_is_one_line(
    tmp_path: Path, bucket: fsspec.AbstractFileSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    for address, message in (
        ("memory://elsewhere", r"memory://elsewhere/manifest\.json: cannot be read \(FileNotFoundError"),
        ("nosuch://bucket", "nosuch://bucket/manifest.json: cannot be read .*Protocol not known"),
    ):
        with pytest.raises(StoreError, match=message):
            open_streamed(address, short_recipe())
    for content in (b"[]", b"{", json.dumps({"version": 9}).encode()):
        bucket.pipe_file("/bucket/store/manifest.json", content)
        with pytest.raises(StoreError, match="manifest.json: |store version 9"):
            open_streamed(ADDRESS, short_recipe())
    words = ["train", "clipsep-avmini", "--data", "memory://elsewhere", "--out", str(tmp_path / "run")]
    assert main([*words, "--validation", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("trisep: error: memory://elsewhere/manifest.json: cannot be read")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(
        StoreError, match=r"s3://bucket/store: Install s3fs to access S3; pip install 'trisep\[remote\]'"
    ):
        StreamedStore("s3://bucket/store", encoder_name=None, pictures=False)
