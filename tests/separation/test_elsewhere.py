"""A batch in other processes: the same files as in one, after a kill only what is missing, and one table at the end."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_folders import hashes

from trisep.commands.separate import Arguments
from trisep.errors import ConfigError, MediaError
from trisep.media.audio import write_audio
from trisep.separation.batch import separate_batch
from trisep.separation.elsewhere import SeparationJob, outcomes_elsewhere
from trisep.separation.options import OutputOptions, SeparationOptions
from trisep.separation.streaming import Progress
from trisep.types import Audio, Query

ASKED: list[str] = []
OPTIONS, OUTPUTS = SeparationOptions(), OutputOptions()


class Recorded(SeparationJob):
    """A job that notes what it is asked and writes a report; the file bad.wav cannot be read."""

    def __call__(self, path: Path, folder: Path, progress: Progress) -> dict[str, Any]:
        ASKED.append(path.name)
        if path.name == "bad.wav":
            raise MediaError(f"{path}: is broken")
        folder.mkdir(parents=True, exist_ok=True)
        stem = {"query": "dog", "file": "dog.wav", "present": path.name != "a.wav", "presence": 0.5, "share": 0.25}
        report = {"input": str(path), "stems": [stem], "residual": None, "without": None}
        (folder / "report.json").write_text(json.dumps(report))
        return report

    def key(self) -> str:
        return repr(self.options)


def backwards(items: Sequence[Any], work: Callable[[Any], object]) -> Iterator[Any]:
    """A cluster whose last task is done first."""
    for item in reversed(items):
        work(item)
    yield from items


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ASKED.clear()
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "b.wav", "bad.wav"):
        (tmp_path / "in" / name).write_text(name)
    return Path("in")


def job(**options: Any) -> Recorded:
    return Recorded(model="default", device="cpu", queries=(), options=replace(OPTIONS, **options), outputs=OUTPUTS)


def test_outcomes_are_those_of_one_process_and_a_table_stands_at_the_end(folder: Path, capsys: Any) -> None:
    assert separate_batch([folder], Path("one"), job()) == 1
    capsys.readouterr()
    elsewhere = partial(outcomes_elsewhere, job=job(), run=backwards)
    assert separate_batch([folder], Path("many"), job(), elsewhere=elsewhere) == 1
    assert ASKED == ["a.wav", "b.wav", "bad.wav", "bad.wav", "b.wav", "a.wav"]
    assert hashes(Path("many")) == hashes(Path("one")) and len(hashes(Path("one"))) == 3
    told = capsys.readouterr()
    table = [line.split() for line in told.out.splitlines()]
    assert table == [
        ["in/a.wav", "done", "dog", "probably", "not"],
        ["in/b.wav", "done", "dog", "25", "%"],
        ["in/bad.wav", "skipped"],
    ]
    assert told.err.splitlines() == [
        "trisep: skipped: in/bad.wav: is broken",
        "trisep: 2 of 3 inputs done, 1 skipped",
    ]


def test_after_a_kill_only_what_is_missing_is_done(folder: Path) -> None:
    def killed(items: Sequence[Any], work: Callable[[Any], object]) -> Iterator[Any]:
        """A cluster that goes away after its first task."""
        work(items[0])
        yield items[0]
        raise ConfigError("the cluster is gone")

    with pytest.raises(ConfigError, match="the cluster is gone"):
        separate_batch([folder], Path("out"), job(), elsewhere=partial(outcomes_elsewhere, job=job(), run=killed))
    go_on = partial(outcomes_elsewhere, job=job(), run=backwards)
    assert separate_batch([folder], Path("out"), job(), elsewhere=go_on) == 1
    assert ASKED == ["a.wav", "bad.wav", "b.wav"], "the first is not done again"
    assert sorted(os.listdir("out")) == ["a", "b", "batch.json"], "notes are gone"


@pytest.mark.parametrize("change", ["options", "input", "outputs are gone"])
def test_what_has_changed_since_is_done_again(folder: Path, change: str) -> None:
    pairs = [(folder / "a.wav", Path("out/a")), (folder / "b.wav", Path("out/b"))]
    first = outcomes_elsewhere(pairs, job=job(), run=backwards)
    next(first)  # both are noted; the batch is not finished
    ASKED.clear()
    if change == "input":
        (folder / "b.wav").write_text("another sound")
    if change == "outputs are gone":
        Path("out/b/report.json").unlink()
    again = list(outcomes_elsewhere(pairs, job=job(stream=1) if change == "options" else job(), run=backwards))
    assert [outcome["input"] for outcome in again if not isinstance(outcome, str)] == ["in/a.wav", "in/b.wav"]
    assert ASKED == (["b.wav", "a.wav"] if change == "options" else ["b.wav"])


def test_a_batch_in_which_nothing_works_leaves_nothing(folder: Path) -> None:
    elsewhere = partial(outcomes_elsewhere, job=job(), run=backwards)
    assert separate_batch([folder / "bad.wav", folder / "bad.wav"], Path("out"), job(), elsewhere=elsewhere) == 2
    assert not Path("out").exists()


def test_everything_that_decides_the_outputs_is_in_the_key() -> None:
    base = SeparationJob(
        model="default", device="cpu", queries=(Query("dog", text="dog"),), options=OPTIONS, outputs=OUTPUTS
    )
    pictures = [np.full((4, 4, 3), value, np.uint8) for value in (0, 1)]
    others = [
        replace(base, queries=(Query("cat", text="cat"),)),
        *(replace(base, queries=(Query("it", image=picture),)) for picture in pictures),
        replace(base, options=replace(OPTIONS, threshold=0.5)),
        replace(base, outputs=replace(OUTPUTS, remove=True)),
        replace(base, model="vast"),
    ]
    keys = [one.key() for one in (base, *others)]
    assert len(set(keys)) == len(keys) and base.key() == replace(base, device="auto").key()


def test_workers_are_those_of_this_machine() -> None:
    with pytest.raises(ConfigError, match="--workers counts the processes of --cluster local"):
        Arguments(input=Path("in"), queries=("dog",), workers=2, cluster="auto")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray[data]: pip install 'trisep[cluster]'")
def test_two_processes_of_ray_write_what_one_process_writes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(6):
        samples = np.random.default_rng(number).normal(0, 0.1, (1 + number % 2, 6000 + number)).astype(np.float32)
        write_audio(tmp_path / "in" / f"{number}.wav", Audio(samples, 16000), subtype="wav_float32")
    (tmp_path / "in" / "letter.mp3").write_text("not a sound")
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}

    def command(out: str, *options: str) -> list[str]:
        words = ["separate", "in", "dog", "violin", "--out", out, "--device", "cpu", *options]
        return [sys.executable, "-m", "trisep.cli", *words]

    cluster = ("--cluster", "local", "--workers", "2")
    one = subprocess.run(command("one"), cwd=tmp_path, env=environment, capture_output=True, text=True)
    many = subprocess.run(command("many", *cluster), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert one.returncode == many.returncode == 1, many.stderr
    assert hashes(tmp_path / "many") == hashes(tmp_path / "one") and len(hashes(tmp_path / "one")) == 25
    assert [line.split()[:2] for line in many.stdout.splitlines()][-1] == ["in/letter.mp3", "skipped"]

    killed = subprocess.Popen(
        command("killed", *cluster), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 240
    while not list((tmp_path / "killed").glob(".batch/*.json")) and time.monotonic() < end and killed.poll() is None:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    again = subprocess.run(command("killed", *cluster), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert again.returncode == 1 and hashes(tmp_path / "killed") == hashes(tmp_path / "one"), again.stderr
