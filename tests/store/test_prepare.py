"""A folder of videos into a store: counted, resumed to the same bytes, and refused where it does not fit."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from clip_folders import hashes, write_clip, write_folder, write_unusable
from rich.console import Console

import trisep.store.prepare
from trisep.cli import main
from trisep.errors import MediaError, StoreError
from trisep.media.files import sha256_of
from trisep.media.probe import probe
from trisep.store.check import check_store
from trisep.store.layout import read_manifest
from trisep.store.pool import apart, run_jobs
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore
from trisep.store.shard_job import ShardJob, make_shard

SETTINGS = PrepareSettings(files_per_shard=2, short_side=32, num_workers=1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("videos"), 5)


def _settings(**changes: object) -> PrepareSettings:
    return PrepareSettings(**{"files_per_shard": 2, "short_side": 32, "num_workers": 1, **changes})  # type: ignore[arg-type]


def test_unusable_files_are_counted_by_reason_and_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    reasons = write_unusable(folder)
    write_clip(folder / "good.mp4", seed=1)
    write_clip(folder / "secret.mp4", seed=2)
    write_clip(folder / "private.mp4", seed=3)
    (folder / "twin.mp4").write_bytes((folder / "good.mp4").read_bytes())
    (folder / "notes.txt").write_text("not an input", encoding="utf-8")
    (tmp_path / "list.txt").write_text(f"{sha256_of(folder / 'secret.mp4')}\nprivate.mp4\n", encoding="utf-8")
    reasons |= {"twin.mp4": "duplicate", "secret.mp4": "excluded", "private.mp4": "excluded"}
    console = Console(record=True, width=120, file=(tmp_path / "console.txt").open("w", encoding="utf-8"))
    with console.file:
        report = prepare(folder, tmp_path / "out", _settings(exclude=tmp_path / "list.txt"), console=console)
    manifest = read_manifest(tmp_path / "out")
    assert {item.source: item.reason for item in manifest.skipped} == reasons
    assert all(item.detail and str(tmp_path) not in item.detail for item in manifest.skipped)
    counts = {"broken": 2, "duplicate": 1, "excluded": 2, "no picture": 1, "no sound": 1, "silent": 1, "too short": 1}
    assert manifest.skipped_counts == report.skipped_counts == counts
    assert (report.num_inputs, report.num_used_inputs, report.num_clips) == (10, 1, 1)
    assert report.num_left_out == 7
    shown = console.export_text()
    assert "1 of 10" in shown and "skipped: broken" in shown
    check_store(tmp_path / "out").raise_if_damaged()


def test_a_store_without_some_inputs_is_a_success_and_the_exit_code_tells_only_who_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "in" / "good.mp4", seed=1)
    write_clip(tmp_path / "in" / "secret.mp4", seed=2)
    (tmp_path / "list.txt").write_text("secret.mp4\n")
    command = ["prepare", str(tmp_path / "in"), "--workers", "1", "--exclude", str(tmp_path / "list.txt"), "--out"]
    assert main([*command, str(tmp_path / "whole"), "--strict"]) == 0 and not capsys.readouterr().err
    (tmp_path / "in" / "broken.mp4").write_text("x")
    assert main([*command, str(tmp_path / "out")]) == 0
    assert (
        capsys.readouterr().err == "trisep: 1 of 3 inputs became no clip; manifest.json of the store says why of each\n"
    )
    assert main([*command, str(tmp_path / "out"), "--strict"]) == 1
    (tmp_path / "in" / "good.mp4").unlink()
    assert main([*command, str(tmp_path / "none")]) == 2


def test_sound_alone_is_kept_when_allowed(tmp_path: Path) -> None:
    write_unusable(tmp_path / "in")
    report = prepare(tmp_path / "in", tmp_path / "out", _settings(audio_only_ok=True))
    store = ClipStore(tmp_path / "out")
    assert [store.source(clip) for clip in range(len(store))] == ["blind.wav"]
    assert report.skipped_counts == {"broken": 2, "no sound": 1, "silent": 1, "too short": 1}
    check_store(tmp_path / "out").raise_if_damaged()


def test_no_usable_file_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    write_clip(tmp_path / "in" / "mute.mp4", sound=False)
    expected = r"in: no file gave a usable clip \(1 no sound\): mute.mp4: the file has no sound$"
    with pytest.raises(StoreError, match=expected):
        prepare(tmp_path / "in", tmp_path / "out", SETTINGS)
    # Nothing is left that would be in the way of another try with other files.
    write_clip(tmp_path / "in" / "good.mp4")
    assert prepare(tmp_path / "in", tmp_path / "out", SETTINGS).num_clips > 0


def test_a_store_inside_the_folder_is_no_input(videos: Path, tmp_path: Path) -> None:
    inside = prepare(videos, videos / "inner", SETTINGS)
    report = prepare(videos, tmp_path / "out", SETTINGS)
    assert (report.num_inputs, report.num_left_out) == (inside.num_inputs, inside.num_left_out)


def test_a_finished_store_is_left_as_it_is(videos: Path, tmp_path: Path) -> None:
    first = prepare(videos, tmp_path / "out", SETTINGS)
    before = hashes(tmp_path / "out")
    assert sorted(before) == [
        "index.arrow",
        "index.jsonl",
        "manifest.json",
        *(f"shards/shard-00000{number}.tar" for number in range(3)),
    ]
    second = prepare(videos, tmp_path / "out", _settings(num_workers=2))
    assert (first.num_resumed_shards, second.num_resumed_shards) == (0, 3)
    assert (second.num_clips, second.num_frames) == (first.num_clips, first.num_frames) == (5, 10)
    assert hashes(tmp_path / "out") == before


@pytest.mark.parametrize("stop_at", [0, 1, 2])
@pytest.mark.parametrize("after_work", [False, True])
def test_an_interrupted_run_goes_on_and_ends_in_the_same_bytes(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, after_work: bool
) -> None:
    prepare(videos, tmp_path / "straight", SETTINGS)

    def stop(job: ShardJob) -> None:
        if after_work or job.number != stop_at:
            make_shard(job)
        if job.number == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(trisep.store.prepare, "run_jobs", partial(run_jobs, make=stop))
    with pytest.raises(KeyboardInterrupt):
        prepare(videos, tmp_path / "out", SETTINGS)
    with pytest.raises(StoreError, match="not finished"):
        ClipStore(tmp_path / "out")
    (tmp_path / "out" / "shards" / ".trisep-0123.tar").write_bytes(b"half")
    (tmp_path / "out" / ".trisep-0123.json").write_bytes(b"half")
    monkeypatch.undo()
    report = prepare(videos, tmp_path / "out", SETTINGS)
    assert report.num_resumed_shards == stop_at + after_work
    assert hashes(tmp_path / "out") == hashes(tmp_path / "straight")


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_a_write_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    videos = write_folder(tmp_path / "videos", 12)
    settings = PrepareSettings(files_per_shard=6, num_workers=1)
    prepare(videos, tmp_path / "straight", settings)
    program = (
        "import sys; from pathlib import Path; from trisep.store.prepare import PrepareSettings, prepare\n"
        "prepare(Path(sys.argv[1]), Path(sys.argv[2]), PrepareSettings(files_per_shard=6, num_workers=1))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(videos), str(tmp_path / "out")])
    deadline = time.monotonic() + 60.0
    while (
        not list(tmp_path.glob("out/shards/.trisep-*.tar")) and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.0005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert list(tmp_path.glob("out/shards/.trisep-*")), "the run was killed while a shard was being written"
    with pytest.raises(StoreError, match="not finished"):
        ClipStore(tmp_path / "out")
    prepare(videos, tmp_path / "out", settings)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "straight")


def test_a_missing_shard_of_a_finished_store_is_made_anew(videos: Path, tmp_path: Path) -> None:
    prepare(videos, tmp_path / "out", SETTINGS)
    before = hashes(tmp_path / "out")
    (tmp_path / "out" / "shards" / "shard-000001.tar").unlink()
    assert prepare(videos, tmp_path / "out", SETTINGS).num_resumed_shards == 2
    assert hashes(tmp_path / "out") == before


def test_a_shard_made_anew_from_changed_files_is_refused(tmp_path: Path) -> None:
    videos = write_folder(tmp_path / "in", 4)
    prepare(videos, tmp_path / "out", SETTINGS)
    (videos / "v002.mp4").write_bytes(bytes((videos / "v002.mp4").stat().st_size))
    (tmp_path / "out" / "shards" / "shard-000001.tar").unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match="shard-000001 came out different from before"):
            prepare(videos, tmp_path / "out", SETTINGS)


def test_other_settings_or_input_are_refused_before_and_after_the_end(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(videos, out, SETTINGS)
    (tmp_path / "list.json").write_text(json.dumps(["v001.mp4"]), encoding="utf-8")
    write_folder(tmp_path / "fewer", 4)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    for _ in range(2):
        with pytest.raises(StoreError, match="begun with sample_rate_hz=16000, now it is 8000"):
            prepare(videos, out, _settings(sample_rate_hz=8000))
        with pytest.raises(StoreError, match="another list of excluded files"):
            prepare(videos, out, _settings(exclude=tmp_path / "list.json"))
        with pytest.raises(StoreError, match=r"input folder has changed .*5 files then, 4 now"):
            prepare(tmp_path / "fewer", out, SETTINGS)
        (out / "manifest.json").unlink(missing_ok=True)
        plan = {name: manifest[name] for name in ("version", "settings", "inputs_sha256", "num_inputs")}
        (out / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def test_a_place_that_cannot_be_a_store_is_a_clear_error(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="not empty and not a clip store"):
        prepare(videos, tmp_path / "full", SETTINGS)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    with pytest.raises(MediaError, match="cannot be written"):
        prepare(videos, tmp_path / "full" / "thesis.tex", SETTINGS)
    with pytest.raises(MediaError, match="cannot be written"):
        prepare(videos, Path("/proc/store"), SETTINGS)


def test_a_full_disk_is_a_clear_error_and_the_run_can_go_on(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trisep.store.write.tarfile.TarFile.addfile", refuse)
    with pytest.raises(MediaError, match=r"shard-000000\.tar: cannot be written \(No space left"):
        prepare(videos, tmp_path / "out", SETTINGS)
    monkeypatch.undo()
    prepare(videos, tmp_path / "out", SETTINGS)
    check_store(tmp_path / "out").raise_if_damaged()


def _with_free(num_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.media.files.shutil.disk_usage", lambda place: type("Usage", (), {"free": num_bytes}))
    monkeypatch.setattr(trisep.store.prepare, "apart", lambda work, value, otherwise: work(value))


def test_a_disk_without_room_for_the_sounds_is_told_before_any_work(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(trisep.store.prepare, "run_jobs", lambda jobs, **_: made.append(jobs))
    _with_free(1000, monkeypatch)
    with pytest.raises(MediaError, match=r"out/shards: about \d\.\d MB are to be written, and 0\.0 MB are free"):
        prepare(videos, tmp_path / "out", SETTINGS)
    assert not made
    monkeypatch.undo()
    prepare(videos, tmp_path / "out", SETTINGS)
    check_store(tmp_path / "out").raise_if_damaged()
    _with_free(0, monkeypatch)
    prepare(videos, tmp_path / "out", SETTINGS)


def test_the_estimate_is_that_of_the_sounds_and_a_header_that_lies_is_not_believed(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def estimate(work: Callable[[object], int], value: object, otherwise: int) -> int:
        asked.append(work(value))
        return 0

    _with_free(0, monkeypatch)
    monkeypatch.setattr(trisep.store.prepare, "apart", estimate)
    prepare(videos, tmp_path / "out", SETTINGS)
    store = ClipStore(tmp_path / "out")
    sounds = sum(2 * len(store.read_waveform(number)) for number in range(len(store)))
    assert asked[0] == pytest.approx(sounds, rel=0.1)
    folder = tmp_path / "lying"
    folder.mkdir()
    write_clip(folder / "a.mp4")
    lying = replace(probe(folder / "a.mp4"), duration_seconds=1e9)
    monkeypatch.setattr("trisep.store.shard_job.probe", lambda path: lying)
    prepare(folder, tmp_path / "other", SETTINGS)
    assert asked[1] <= 2 * 16000 * (folder / "a.mp4").stat().st_size / 500


def test_a_process_that_dies_of_the_estimate_ends_nothing() -> None:
    assert apart(os._exit, 3, otherwise=7) == 7
    assert apart(abs, -3, otherwise=7) == 3


def test_file_names_of_any_bytes_survive(tmp_path: Path) -> None:
    name = b"vid\xe9o \xff.mp4".decode("utf-8", "surrogateescape")
    write_clip(tmp_path / "plain.mp4")
    (tmp_path / "in").mkdir()
    try:
        (tmp_path / "plain.mp4").rename(tmp_path / "in" / name)
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    report = prepare(tmp_path / "in", tmp_path / "out", SETTINGS)
    assert report.num_clips == 1
    assert ClipStore(tmp_path / "out").source(0) == name
    check_store(tmp_path / "out").raise_if_damaged()
