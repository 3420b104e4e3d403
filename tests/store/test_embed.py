"""Embeddings and captions beside a store: complete, resumed, replaced when told, and damage named."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import MeanColour, hashes, tone, write_clip, write_folder
from linear_text import LinearText
from rich.console import Console

import trisep.store.embed
from trisep import cli
from trisep.errors import ConfigError, MediaError, StoreError
from trisep.media.audio_writer import write_audio
from trisep.queries.captions import CaptionSettings
from trisep.store.captions import histogram, middle_frame
from trisep.store.check import check_store
from trisep.store.embed import embed
from trisep.store.embeddings import read_embedding_header
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: MeanColour())
    videos = write_folder(tmp_path / "videos", 4)
    prepare(videos, tmp_path / "store", PrepareSettings(files_per_shard=3, short_side=32, num_workers=1))
    return tmp_path / "store"


def test_every_frame_has_its_embedding(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trisep.store.embed, "_BATCH_FRAMES", 3)
    report = embed(store, "lite")
    assert (report.num_frames, report.num_shards, report.num_resumed_shards, report.fingerprint) == (
        8,
        2,
        0,
        "mean-colour",
    )
    clips = ClipStore(store)
    vectors, regions = clips.load_vectors("lite"), clips.load_regions("lite")
    assert (vectors.shape, vectors.dtype, regions.shape, regions.dtype) == (
        (8, 3),
        np.float32,
        (8, 7, 7, 3),
        np.float16,
    )
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
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: Both())
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
import trisep.store.embed
from clip_folders import MeanColour

class Slow(MeanColour):
    def encode_image(self, frames):
        time.sleep(0.02)
        return super().encode_image(frames)

trisep.store.embed._BATCH_FRAMES = 1
trisep.store.embed.load_encoder = lambda name: Slow()
trisep.store.embed.embed(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(store: Path, tmp_path: Path) -> None:
    finished = store / "shards" / "shard-000000.lite.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(store)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
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
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: MeanColour("another"))
    with pytest.raises(StoreError, match="another version of 'lite'; add --overwrite"):
        embed(store, "lite")
    assert embed(store, "lite", overwrite=True).num_resumed_shards == 0
    assert ClipStore(store).embedding_info("lite").fingerprint == "another"


def test_embeddings_of_mixed_origin_are_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(store, "lite")
    (store / "shards" / "shard-000001.lite.safetensors").unlink()
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: MeanColour("another"))
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


SEARCH = CaptionSettings(num_words=16, max_iterations=60)
FIRST, SECOND = (f"shard-{number:06d}.lite.captions.safetensors" for number in (0, 1))


@pytest.fixture
def linear(store: Path, monkeypatch: pytest.MonkeyPatch) -> LinearText:
    """The encoder in the place of `lite`, one whose text side can be searched."""
    encoder = LinearText()
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: encoder)
    return encoder


def test_a_disk_without_room_is_told_before_any_work(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worked = []
    monkeypatch.setattr(trisep.store.embed, "_embed_batch", lambda *arguments, **_: worked.append(arguments))
    needed = 8 * 3 * (4 + 49 * 2)
    monkeypatch.setattr("trisep.media.files.shutil.disk_usage", lambda place: type("Usage", (), {"free": needed - 1}))
    with pytest.raises(MediaError, match=r"store/shards: about 0\.0 MB are to be written, and 0\.0 MB are free"):
        embed(store, "lite")
    assert not worked
    monkeypatch.undo()
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: MeanColour())
    monkeypatch.setattr("trisep.media.files.shutil.disk_usage", lambda place: type("Usage", (), {"free": needed}))
    assert embed(store, "lite").num_resumed_shards == 0
    monkeypatch.setattr("trisep.media.files.shutil.disk_usage", lambda place: type("Usage", (), {"free": 0}))
    assert embed(store, "lite").num_resumed_shards == 2, "nothing is to be written"


def test_every_clip_has_the_caption_of_its_middle_frame(store: Path, linear: LinearText) -> None:
    report = embed(store, regions=False, captions=SEARCH)
    clips = ClipStore(store)
    captions, vectors = clips.load_captions("lite"), clips.load_vectors("lite")
    assert (captions.shape, captions.dtype, report.num_resumed_caption_shards) == ((4, 3), np.float32, 0)
    found = clips.load_caption_search("lite")
    assert found["tokens"].shape == (4, 3, 6)
    for clip in range(4):
        row = middle_frame(clips, clip)
        assert row is not None
        seconds = clips.frame_times(clip)[row - clips.frame_slice(clip).start]
        assert abs(seconds - 1.0) == min(abs(time - 1.0) for time in clips.frame_times(clip))
        cosine = captions[clip] @ vectors[row] / np.linalg.norm(vectors[row])
        assert cosine > 0.95
        np.testing.assert_allclose(cosine, found["cosines"][clip], atol=1e-5)
    assert report.median_cosine == pytest.approx(np.median(found["cosines"][:]))
    check_store(store).raise_if_damaged()


def test_captions_go_on_where_they_stopped_and_end_in_the_same_bytes(store: Path, linear: LinearText) -> None:
    embed(store, captions=SEARCH)
    expected = hashes(store)
    (store / "shards" / SECOND).unlink()
    with pytest.raises(
        StoreError, match="no latent captions by 'lite' for 1 of 2 shards; run `trisep embed .* --captions`"
    ):
        ClipStore(store).load_captions("lite")
    report = embed(store, captions=SEARCH)
    assert (report.num_resumed_shards, report.num_resumed_caption_shards) == (2, 1)
    assert hashes(store) == expected
    linear.num_rows.clear()
    assert embed(store, captions=SEARCH).num_resumed_caption_shards == 2
    assert linear.num_rows == []


def test_captions_are_optional(store: Path, linear: LinearText) -> None:
    assert embed(store).median_cosine is None
    with pytest.raises(StoreError, match="for 2 of 2 shards; run `trisep embed .* --encoder lite --captions`"):
        ClipStore(store).load_captions("lite")


def test_captions_of_a_store_without_embeddings_are_refused(store: Path) -> None:
    with pytest.raises(StoreError, match="no embeddings by 'lite'"):
        ClipStore(store).load_captions("lite")


def test_captions_sought_in_another_way_are_replaced_only_when_told(store: Path, linear: LinearText) -> None:
    embed(store, captions=SEARCH)
    other = replace(SEARCH, num_tokens=1)
    with pytest.raises(StoreError, match="with other settings; add --overwrite"):
        embed(store, captions=other)
    assert embed(store, captions=other, overwrite=True).num_resumed_caption_shards == 0
    assert ClipStore(store).load_caption_search("lite")["tokens"].shape == (4, 1, 6)


def test_captions_of_another_version_of_the_encoder_are_refused(
    store: Path, linear: LinearText, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(store, captions=SEARCH)
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: LinearText("newer"))
    embed(store, overwrite=True)
    with pytest.raises(StoreError, match="another version of 'lite'.*--captions --overwrite"):
        ClipStore(store).load_captions("lite")
    with pytest.raises(StoreError, match="another version of 'lite'; add --overwrite"):
        embed(store, captions=SEARCH)
    embed(store, captions=SEARCH, overwrite=True)
    ClipStore(store).load_captions("lite")


def test_captions_of_mixed_settings_are_refused(store: Path, linear: LinearText) -> None:
    embed(store, captions=replace(SEARCH, seed=1))
    (store / "shards" / FIRST).rename(store / "kept")
    embed(store, captions=SEARCH, overwrite=True)
    (store / "kept").rename(store / "shards" / FIRST)
    with pytest.raises(StoreError, match=f"{FIRST}.*--overwrite|{SECOND}.*--overwrite"):
        ClipStore(store).load_captions("lite")


def test_damaged_captions_are_found(store: Path, linear: LinearText) -> None:
    embed(store, captions=SEARCH)
    path = store / "shards" / FIRST
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StoreError, match=f"{FIRST}: its content was changed.*--encoder lite --captions` again"):
        check_store(store).raise_if_damaged()
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=f"{FIRST}: damaged"):
        embed(store, captions=SEARCH)
    embed(store, captions=SEARCH, overwrite=True)
    assert path.read_bytes() == whole


def test_a_sound_without_a_picture_has_a_caption_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trisep.store.embed, "load_encoder", lambda name: LinearText())
    write_clip(tmp_path / "videos" / "seen.mp4", seed=1)
    write_audio(tmp_path / "videos" / "blind.wav", tone(2.0), subtype="wav_float32")
    store = tmp_path / "store"
    prepare(tmp_path / "videos", store, PrepareSettings(short_side=32, num_workers=1, audio_only_ok=True))
    console = Console(record=True, width=120)
    report = embed(store, captions=SEARCH, num_shown=5, console=console)
    clips = ClipStore(store)
    captions = dict(zip(map(clips.source, range(2)), clips.load_captions("lite"), strict=True))
    assert not captions["blind.wav"].any() and np.linalg.norm(captions["seen.mp4"]) == pytest.approx(1.0)
    assert report.median_cosine == pytest.approx(clips.load_caption_search("lite")["cosines"][:].max())
    check_store(store).raise_if_damaged()
    lines = console.export_text().splitlines()
    assert sum("blind.wav" in line for line in lines) == 0
    (shown,) = (line for line in lines if line.startswith("seen.mp4"))
    assert shown.count("word") == 3
    assert any(
        f"cosine of 1 latent captions to their frames, median {report.median_cosine:.3f}" in line for line in lines
    )


def test_the_histogram_counts_every_caption() -> None:
    lines = histogram(np.array([0.0, 0.31, 0.32, 1.0], np.float32))
    assert lines[0].endswith("median 0.315") and len(lines) == 11
    assert [int(line.split()[3]) for line in lines[1:]] == [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert lines[4].endswith(" " + 40 * "█") and lines[1].endswith(" " + 20 * "█")
    assert histogram(np.zeros(0, np.float32)) == ["no clip has a frame, so there is nothing to caption"]
    nearly_equal = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], np.float32)
    assert [int(line.split()[3]) for line in histogram(nearly_equal)[1:]] == [1, *[0] * 8, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--captions --tokens 0", "--tokens must be between 1 and 4, got 0"),
        ("--captions --tokens 5", "--tokens must be between 1 and 4, got 5"),
        ("--captions --nearest-words -1", "--nearest-words must not be negative, got -1"),
        ("--nearest-words 3", "add --captions"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cli.parse(["embed", "store", *options.split()])


def test_the_command_seeks_and_shows_captions(
    store: Path, linear: LinearText, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(
            ["embed", str(store), "--no-regions", "--captions", "--tokens", "2", "--seed", "4", "--nearest-words", "1"]
        )
        == 0
    )
    clips = ClipStore(store)
    assert clips.load_caption_search("lite")["tokens"].shape == (4, 2, 6)
    shown = capsys.readouterr().out
    assert "cosine of 4 latent captions" in shown and shown.count("word") == 2
    header, _ = read_embedding_header(store / "shards" / FIRST)
    assert (header.settings["num_tokens"], header.settings["seed"]) == (2, 4)
