import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import MeanColour, hashes, write_folder
from rich.console import Console

import trisep.embed
from trisep.embed import embed
from trisep.errors import StoreError
from trisep.prepare import PrepareSettings, prepare
from trisep.store.check import check_store
from trisep.store.read import ClipStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(trisep.embed, "load_encoder", lambda name: MeanColour())
    videos = write_folder(tmp_path / "videos", 4)
    prepare(videos, tmp_path / "store", PrepareSettings(files_per_shard=3, short_side=32, num_workers=1))
    return tmp_path / "store"


def test_every_frame_has_its_embedding(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trisep.embed, "_BATCH_FRAMES", 3)
    report = embed(store, "lite")
    assert (report.num_frames, report.num_shards, report.num_resumed_shards, report.fingerprint) == (8, 2, 0, "mean-colour")
    clips = ClipStore(store)
    vectors, regions = clips.load_vectors("lite"), clips.load_regions("lite")
    assert (vectors.shape, vectors.dtype, regions.shape, regions.dtype) == ((8, 3), np.float32, (8, 7, 7, 3), np.float16)
    encoder = MeanColour()
    for clip in range(4):
        rows, frames = clips.frame_slice(clip), list(clips.read_frames(clip))
        np.testing.assert_array_equal(vectors[rows], encoder.encode_image(frames).numpy())
        np.testing.assert_array_equal(regions[rows], encoder.encode_regions(frames).numpy().astype(np.float16))
    assert clips.embedding_info("lite").fingerprint == "mean-colour"
    check_store(store).raise_if_damaged()


def test_an_encoder_that_gives_both_is_asked_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Both(MeanColour):
        def encode_both(self, frames: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
            return MeanColour.encode_image(self, frames), MeanColour.encode_regions(self, frames)

        def encode_image(self, frames: object) -> torch.Tensor:
            raise AssertionError("asked twice")

    embed(store, "lite")
    expected = hashes(store)
    for path in store.rglob("*.safetensors"):
        path.unlink()
    monkeypatch.setattr(trisep.embed, "load_encoder", lambda name: Both())
    embed(store, "lite", console=Console(quiet=True))
    assert hashes(store) == expected


def test_regions_are_left_out_and_added_on_demand(store: Path) -> None:
    embed(store, "lite", regions=False)
    with pytest.raises(StoreError, match="no embeddings of regions"):
        ClipStore(store).load_regions("lite")
    vectors = ClipStore(store).load_vectors("lite")
    assert embed(store, "lite").num_resumed_shards == 0
    assert len(ClipStore(store).load_regions("lite")) == 8
    np.testing.assert_array_equal(ClipStore(store).load_vectors("lite"), vectors)
    assert embed(store, "lite", regions=False).num_resumed_shards == 2


def test_an_interrupted_run_goes_on_and_ends_in_the_same_bytes(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(store, "lite")
    expected = hashes(store)
    (store / "shards" / "shard-000001.lite.safetensors").unlink()
    (store / "shards" / ".trisep-0123.safetensors").write_bytes(b"half")
    with pytest.raises(StoreError, match="for 1 of 2 shards; run `trisep embed"):
        ClipStore(store).load_vectors("lite")
    assert embed(store, "lite").num_resumed_shards == 1
    assert hashes(store) == expected


PROGRAM = """
import sys, time
from pathlib import Path
import trisep.embed
from clip_folders import MeanColour

class Slow(MeanColour):
    def encode_image(self, frames):
        time.sleep(0.02)
        return super().encode_image(frames)

trisep.embed._BATCH_FRAMES = 1
trisep.embed.load_encoder = lambda name: Slow()
trisep.embed.embed(Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(store: Path, tmp_path: Path) -> None:
    finished = store / "shards" / "shard-000000.lite.safetensors"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(store)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 60.0
    while not finished.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert embed(store, "lite").num_resumed_shards == 1
    resumed = hashes(store)
    for path in store.rglob("*.safetensors"):
        path.unlink()
    embed(store, "lite")
    assert hashes(store) == resumed


def test_another_version_of_the_encoder_is_refused_unless_told(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(store, "lite")
    monkeypatch.setattr(trisep.embed, "load_encoder", lambda name: MeanColour("another"))
    with pytest.raises(StoreError, match="another version of 'lite'; add --overwrite"):
        embed(store, "lite")
    assert embed(store, "lite", overwrite=True).num_resumed_shards == 0
    assert ClipStore(store).embedding_info("lite").fingerprint == "another"


def test_embeddings_of_mixed_origin_are_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(store, "lite")
    (store / "shards" / "shard-000001.lite.safetensors").unlink()
    monkeypatch.setattr(trisep.embed, "load_encoder", lambda name: MeanColour("another"))
    with pytest.raises(StoreError, match="add --overwrite"):
        embed(store, "lite")
    embed(store, "lite", overwrite=True)
    ClipStore(store).load_vectors("lite")


def test_a_damaged_file_is_named_and_replaced_when_told(store: Path) -> None:
    embed(store, "lite")
    expected = hashes(store)
    path = store / "shards" / "shard-000000.lite.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"shard-000000\.lite\.safetensors: damaged embeddings"):
        embed(store, "lite")
    assert embed(store, "lite", overwrite=True).num_resumed_shards == 1
    assert hashes(store) == expected
