"""Clips out of a store: whole, in part, from threads, and without a trace of their labels."""

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from clip_folders import tone, write_clip

from trisep.errors import StoreError
from trisep.media.audio import read_audio
from trisep.media.audio_writer import write_audio
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore


def test_clips_hold_what_was_decoded(videos: Path, store_path: Path) -> None:
    store = ClipStore(store_path)
    assert (len(store), store.sample_rate_hz) == (5, 16000)
    assert [store.source(clip) for clip in range(5)] == [
        "below/v000.mp4",
        "below/v003.mp4",
        "v001.mp4",
        "v002.mp4",
        "v004.mp4",
    ]
    assert len({entry.key for entry in store.entries}) == 5
    for clip in range(5):
        decoded = read_audio(videos / store.source(clip), sample_rate_hz=16000, mono=True).samples[0]
        waveform = store.read_waveform(clip)
        assert waveform.dtype == np.float32 and len(waveform) == store.num_samples(clip) == len(decoded)
        assert np.abs(waveform - decoded).max() <= 0.5 / 32768 + 1e-9
        assert store.rms_db(clip) == pytest.approx(10 * np.log10(np.mean(decoded.astype(np.float64) ** 2)), abs=1e-3)
        assert store.frame_times(clip) == (0.0, 1.0)
        assert store.read_frames(clip).shape == (2, 32, 43, 3)


def test_any_stretch_equals_the_cut_of_the_whole(store_path: Path) -> None:
    store = ClipStore(store_path)
    whole = store.read_waveform(3)
    for start, length in ((0, 0), (0, 10), (1234, 4321), (len(whole) - 1, 1), (len(whole), 0)):
        np.testing.assert_array_equal(store.read_waveform(3, start, length), whole[start : start + length])
    np.testing.assert_array_equal(store.read_waveform(3, start=100), whole[100:])
    for start, length in ((-1, 5), (0, len(whole) + 1), (len(whole) + 1, None)):
        with pytest.raises(IndexError, match="samples"):
            store.read_waveform(3, start, length)


def test_a_clip_comes_as_a_whole(store_path: Path) -> None:
    store = ClipStore(store_path)
    clip = store.read_clip(1)
    np.testing.assert_array_equal(clip.waveform, store.read_waveform(1))
    np.testing.assert_array_equal(clip.frames, store.read_frames(1))
    assert (clip.key, clip.frame_times_seconds) == (store.entries[1].key, (0.0, 1.0))


def test_sound_beyond_full_scale_comes_back_at_its_level(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_audio(tmp_path / "in" / "loud.wav", tone(1.5, amplitude=2.5), subtype="wav_float32")
    prepare(tmp_path / "in", tmp_path / "out", PrepareSettings(audio_only_ok=True, num_workers=1))
    store = ClipStore(tmp_path / "out")
    assert np.abs(store.read_waveform(0) - tone(1.5, amplitude=2.5).samples[0]).max() <= 2.5 / 65536 * 1.01
    assert store.read_clip(0).frames.shape[0] == 0
    assert store.frame_slice(0) == slice(0, 0)


def test_reading_works_after_pickling_and_from_threads(store_path: Path) -> None:
    store = ClipStore(store_path)
    expected = [store.read_waveform(clip) for clip in range(5)]
    twin = pickle.loads(pickle.dumps(store))
    with ThreadPoolExecutor(8) as threads:
        for number, waveform in enumerate(threads.map(lambda number: twin.read_waveform(number % 5), range(40))):
            np.testing.assert_array_equal(waveform, expected[number % 5])


def test_nothing_in_a_store_but_the_source_names_what_it_holds(tmp_path: Path) -> None:
    """The folder and file names carry a label here; the keys must not."""
    write_clip(tmp_path / "in" / "violin" / "violin.mp4")
    prepare(tmp_path / "in", tmp_path / "out", PrepareSettings(num_workers=1))
    store = ClipStore(tmp_path / "out")
    assert store.source(0) == "violin/violin.mp4"
    assert "violin" not in store.entries[0].key


def test_what_is_no_store_is_a_clear_error(tmp_path: Path, store_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "clip.mp4").touch()
    (tmp_path / "empty folder").mkdir()
    # What is recommended can be done: prepare makes no store where something else is.
    for name, place in (
        ("gone", "{}"),
        ("empty folder", "'{}'"),
        ("full", "NEW_FOLDER"),
        ("full/clip.mp4", "NEW_FOLDER"),
    ):
        advice = f"make one with `trisep prepare VIDEO_FOLDER --out {place.format(tmp_path / name)}`"
        with pytest.raises(StoreError, match=f"is not a clip store .it has no manifest.json.; {advice}"):
            ClipStore(tmp_path / name)
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="not finished; run the same"):
        ClipStore(tmp_path)
    with pytest.raises(StoreError, match=r"no embeddings by 'lite' for 3 of 3 shards; run `trisep embed"):
        ClipStore(store_path).load_vectors("lite")


def test_damage_is_a_clear_error(tmp_path: Path, store_path: Path) -> None:
    damaged = Path(shutil.copytree(store_path, tmp_path / "damaged"))
    tar = damaged / "shards" / "shard-000001.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    with pytest.raises(StoreError, match=r"shard-000001\.tar: has \d+ bytes instead of"):
        ClipStore(damaged)
    tar.unlink()
    with pytest.raises(StoreError, match=r"shard-000001\.tar: is missing; run the same `trisep prepare`"):
        ClipStore(damaged)
    index = damaged / "index.jsonl"
    lines = index.read_text(encoding="utf-8").splitlines(keepends=True)
    index.write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(StoreError, match="4 clips where the manifest counts 5"):
        ClipStore(damaged)
    index.write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"index\.jsonl: cannot be read"):
        ClipStore(damaged)


@pytest.mark.parametrize("changes", [{"shard": 3}, {"wav": [0, 10**9]}, {"wav": [0, 44]}, {"frames": [[10**9, 9]] * 2}])
def test_a_clip_outside_its_shard_is_refused(tmp_path: Path, store_path: Path, changes: dict[str, object]) -> None:
    store = tmp_path / "store"
    shutil.copytree(store_path, store)
    lines = (store / "index.jsonl").read_text().splitlines()
    (store / "index.jsonl").write_text("\n".join([json.dumps(json.loads(lines[0]) | changes), *lines[1:]]))
    with pytest.raises(StoreError, match=r"index.jsonl: cannot .* \(the clip .* lies outside its shard\); prepare the"):
        ClipStore(store)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wings": 1}, "line 1.wings: unknown setting"),
        ({"peak": None}, "line 1.peak: expected a finite number, got null"),
        ({"shard": -1}, "expected offsets, sizes and numbers of at least 0"),
        ({"wav_scale": 0}, "expected a scale above 0"),
        ({"frame_times_seconds": [0.0]}, "one time for each frame"),
    ],
)
def test_an_entry_that_lies_is_named(
    tmp_path: Path, store_path: Path, changes: dict[str, object], message: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(store_path, store)
    lines = (store / "index.jsonl").read_text().splitlines()
    (store / "index.jsonl").write_text("\n".join([json.dumps(json.loads(lines[0]) | changes), *lines[1:]]))
    with pytest.raises(StoreError, match=f"cannot be read as the index of a clip store .*{message}"):
        ClipStore(store)


def test_another_version_is_a_clear_error(tmp_path: Path, store_path: Path) -> None:
    manifest = json.loads((store_path / "manifest.json").read_text(encoding="utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "version": 99}), encoding="utf-8")
    with pytest.raises(StoreError, match="store version 99"):
        ClipStore(tmp_path)
    (tmp_path / "manifest.json").write_text("[]", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be read as a store's manifest"):
        ClipStore(tmp_path)
