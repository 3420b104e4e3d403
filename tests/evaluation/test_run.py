"""An evaluation from list to table: resumed, shared among processes, with absent clips, and with wrong input."""

import csv
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_folders import tone
from clip_lists import write_list

import trisep.evaluation.run
from trisep.checkpoints.format import load_model, save_model
from trisep.cli import main
from trisep.commands.evaluate import Arguments
from trisep.errors import ConfigError, MediaError, TrisepError
from trisep.evaluation.mixtures import score_mixture
from trisep.evaluation.run import evaluate
from trisep.media.audio_writer import write_audio
from trisep.models import pit
from trisep.protocols import ProtocolMixture, ProtocolSource, protocol
from trisep.types import Audio, SignalSettings

CLIPS = {"one": "dog", "two": "violin", "three": "rain"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short sounds of three labels, the list of them, and lists that are wrong. Made once: no test changes it."""
    folder = tmp_path_factory.mktemp("avmini")
    (folder / "dev").mkdir()
    for number, name in enumerate(CLIPS):
        write_audio(folder / "dev" / f"{name}.wav", tone(0.5, frequency_hz=200.0 + 300 * number), subtype="wav_float32")
    write_list(folder / "manifest.csv", [(f"dev/{name}.wav", "dev", label) for name, label in CLIPS.items()])
    (folder / "wrong").mkdir()
    (folder / "wrong" / "absent.csv").write_text("path_1,label_1,path_2,label_2\ndev/one.wav,dog,dev/gone.wav,rain\n")
    (folder / "wrong" / "list.json").write_text('{"videos": {"dog": ["one", "two"]}}\n')
    (folder / "wrong" / "no_split.csv").write_text("path,label\ndev/one.wav,dog\n")
    return folder


class Here:
    """Takes the place of the pool of processes: everything happens in this one, as it is asked for."""

    most_waiting = 0

    def __init__(self, num_workers: int, **_: object) -> None:
        self.waiting: list[Future[Any]] = []

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        taken = future.result
        self.waiting.append(future)
        type(self).most_waiting = max(self.most_waiting, len(self.waiting))

        def result(timeout: float | None = None) -> Any:
            self.waiting.remove(future)
            return taken(timeout)

        future.result = result  # type: ignore[method-assign]
        return future

    def shutdown(self, **_: object) -> None:
        return None


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trisep.evaluation.run, "ProcessPoolExecutor", Here)


def score(data: Path, out: Path | None, **others: Any) -> str:
    """Evaluate three baselines on four mixtures, but for what `others` say; returns the table."""
    settings = {"baselines": ("mixture", "random-mask", "ideal-ratio-mask"), "limit": 4, "num_workers": 1} | others
    evaluation = evaluate(settings.pop("checkpoint", None), data=data, out=out, **settings)
    assert evaluation is not None
    return evaluation.text


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_baselines_without_a_model_give_table_summary_and_pair_list(
    data: Path, tmp_path: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    text = score(data, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "baselines.csv",
        "baselines.json",
        "baselines.md",
        "pairs.csv",
    ]
    table = rows(tmp_path / "out" / "baselines.csv")
    assert [(row["mixture"], row["system"], row["source"]) for row in table[:6]] == [
        ("0", system, source) for system in ("mixture", "random-mask", "ideal-ratio-mask") for source in "01"
    ]
    assert len(table) == 4 * 3 * 2
    for row in table:
        assert (
            row["label"] == CLIPS[Path(row["path"]).stem] != row["other_label"] == CLIPS[Path(row["other_path"]).stem]
        )
        assert float(row["level_db"]) == pytest.approx(-20, abs=0.01) and float(
            row["mixture_level_db"]
        ) == pytest.approx(-17, abs=0.1)
        assert (row["seed"], row["skipped"], row["interference"]) == ("0", "", "")
        assert float(row["sdri"]) == 0 if row["system"] == "mixture" else float(row["sdri"]) != 0
    assert min(float(row["si_sdri"]) for row in table if row["system"] == "ideal-ratio-mask") > 10
    assert text + "\n" == (tmp_path / "out" / "baselines.md").read_text() and capsys.readouterr().out == ""
    assert text.startswith("**avmini · 4 mixtures**") and "| ideal-ratio-mask | all | 8 (0) |" in text
    summary = json.loads((tmp_path / "out" / "baselines.json").read_text())
    assert (summary["protocol"], summary["seed"], summary["num_mixtures"]) == ("avmini", 0, 4)
    assert {"python", "torch", "numpy"} <= set(summary["environment"]["versions"])
    assert [entry["sources"] for entry in summary["table"] if entry["split"] == "all"] == [8, 8, 8]


@pytest.mark.slow
def test_one_and_two_processes_give_the_same_bytes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for num_workers in (1, 2):
        score(data, tmp_path / str(num_workers), num_workers=num_workers, limit=3, baselines=("random-mask",))
    for name in ("baselines.csv", "baselines.md", "pairs.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert len(rows(tmp_path / "1" / "baselines.csv")) == 6


@pytest.mark.slow
def test_a_run_killed_at_any_byte_resumes_to_the_same_bytes(
    data: Path, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"baselines": ("random-mask",)}
    score(data, tmp_path / "whole", **few)
    whole = (tmp_path / "whole" / "baselines.csv").read_bytes()
    with monkeypatch.context() as patched:
        # Stops before the last mixture, as a kill would.
        original = trisep.evaluation.run._score

        def dies(job: Any, mixture: ProtocolMixture) -> Any:
            if mixture.index == 3:
                raise KeyboardInterrupt
            return original(job, mixture)

        patched.setattr(trisep.evaluation.run, "_score", dies)
        patched.setattr(trisep.evaluation.run, "_MIXTURES_AHEAD", 1)
        with pytest.raises(KeyboardInterrupt):
            score(data, tmp_path / "out", **few)
    partial = tmp_path / "out" / "baselines.partial.csv"
    written = partial.read_bytes()
    assert whole.startswith(written) and 3 * 2 == len(written.splitlines()) - 1
    settings = (tmp_path / "out" / "baselines.partial.json").read_bytes()
    for num_bytes in (0, 5, len(whole.splitlines()[0]) + 1, len(written) // 2, len(written) - 1, len(written)):
        partial.write_bytes(written[:num_bytes])
        partial.with_suffix(".json").write_bytes(settings)
        score(data, tmp_path / "out", **few)
        assert (tmp_path / "out" / "baselines.csv").read_bytes() == whole
        assert not partial.exists() and not partial.with_suffix(".json").exists()


def test_an_unfinished_table_of_other_settings_is_not_gone_on_with(data: Path, tmp_path: Path, here: None) -> None:
    score(data, tmp_path)
    (tmp_path / "baselines.csv").rename(tmp_path / "baselines.partial.csv")
    summary = json.loads((tmp_path / "baselines.json").read_text())
    (tmp_path / "baselines.partial.json").write_text(json.dumps(summary))
    with pytest.raises(
        ConfigError,
        match=r"unfinished, with other settings \(seed 0, now 1\); finish that evaluation or remove the file",
    ):
        score(data, tmp_path, seed=1)


def test_a_finished_run_is_not_made_again(
    data: Path, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trisep.evaluation.table, "git_revision", lambda: "0123456789ab")
    scored: list[int] = []
    original = trisep.evaluation.run._score
    monkeypatch.setattr(
        trisep.evaluation.run, "_score", lambda job, mixture: scored.append(mixture.index) or original(job, mixture)
    )
    command = ["evaluate", "--data", str(data), "--baseline", "mixture", "--limit", "2", "--out", str(tmp_path)]
    assert main(command) == 0 and scored == [0, 1]
    first = capsys.readouterr()
    files = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert main(command) == 0 and scored == [0, 1]
    again = capsys.readouterr()
    assert again.out == first.out and first.err == ""
    assert again.err.endswith(f"to score again, remove {tmp_path / 'baselines.json'}\n")
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == files
    # Anything else that the scores depend on makes them anew.
    assert main([*command, "--seed", "1"]) == 0 and scored == [0, 1] * 2
    assert main(command) == 0 and scored == [0, 1] * 3
    for revision in ("ba9876543210", "ba9876543210+", "ba9876543210+"):
        monkeypatch.setattr(trisep.evaluation.table, "git_revision", lambda revision=revision: revision)
        assert main(command) == 0
    assert scored == [0, 1] * 6
    (tmp_path / "baselines.csv").unlink()
    monkeypatch.setattr(trisep.evaluation.table, "git_revision", lambda: "ba9876543210")
    assert main(command) == 0 and main(command) == 0 and scored == [0, 1] * 7
    (tmp_path / "baselines.json").write_text("5")
    with pytest.raises(ConfigError, match="holds scores of protocol None"):
        score(data, tmp_path, baselines=("mixture",), limit=2)


def test_few_mixtures_are_in_work_at_a_time(here: None, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trisep.evaluation.run, "_score", lambda _, mixture: [mixture])
    job = trisep.evaluation.run.plan(None, protocol("avmini"), data, baselines=("mixture",))
    sources = tuple(
        ProtocolSource(path=data / "dev" / f"{name}.wav", label=label) for name, label in list(CLIPS.items())[:2]
    )
    taken = 0

    def endless() -> Iterator[ProtocolMixture]:
        nonlocal taken
        while True:
            yield ProtocolMixture(index=taken, sources=sources)
            taken += 1

    Here.most_waiting = 0
    results = trisep.evaluation.run.score_all(job, endless(), num_workers=2)
    assert [next(results)[0].index for _ in range(20)] == list(range(20))
    assert Here.most_waiting == 8 and taken <= 28


def test_a_pair_list_takes_the_place_of_the_protocols_own(data: Path, tmp_path: Path, here: None) -> None:
    score(data, tmp_path / "drawn", seed=5, limit=2, baselines=("mixture",))
    score(data, tmp_path / "given", seed=5, baselines=("mixture",), pairs=tmp_path / "drawn" / "pairs.csv")
    tables = [(tmp_path / name / "baselines.csv").read_bytes() for name in ("drawn", "given")]
    assert tables[0] == tables[1]


def test_media_may_lie_elsewhere_than_the_list(data: Path, tmp_path: Path, here: None) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "clips.csv").write_bytes((data / "manifest.csv").read_bytes())
    score(tmp_path / "lists" / "clips.csv", tmp_path / "out", media=data, limit=1)
    score(data, tmp_path / "beside", limit=1)
    assert (tmp_path / "out" / "baselines.csv").read_bytes() == (tmp_path / "beside" / "baselines.csv").read_bytes()


def test_absent_and_unreadable_clips_are_an_error_or_counted(
    data: Path, tmp_path: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "pairs.csv"
    broken = tmp_path / "broken.wav"
    broken.write_text("Dear reader")
    lines = ["path_1,label_1,path_2,label_2", "dev/one.wav,dog,dev/gone.wav,rain", "dev/one.wav,dog,dev/two.wav,violin"]
    pairs.write_text("\n".join([*lines, f"dev/one.wav,dog,{broken},rain"]) + "\n")
    with pytest.raises(
        MediaError, match=r"gone.wav: no such file; 1 of 4 clips are absent, in 1 of 3 mixtures: .*--skip-missing"
    ):
        score(data, tmp_path / "out", pairs=pairs)
    text = score(data, tmp_path / "out", pairs=pairs, skip_missing=True, baselines=("mixture",))
    table = rows(tmp_path / "out" / "baselines.csv")
    reasons = ["missing clip: dev/gone.wav", "", f"unreadable clip: {broken}"]
    assert [row["skipped"] for row in table] == [reason for reason in reasons for _ in range(2)]
    assert "Skipped: mixture: missing clip 2; mixture: unreadable clip 2." in text
    assert text.endswith(f"hold them: dev/gone.wav (missing clip), {broken} (unreadable clip).")
    pairs.write_text("\n".join([lines[0], f"dev/one.wav,dog,{broken},rain"]))
    with pytest.raises(MediaError, match="broken.wav"):
        score(data, tmp_path / "again", pairs=pairs)
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["pairs.csv"]
    pairs.write_text(lines[0] + "\n")
    with pytest.raises(MediaError, match="the pair list is empty"):
        score(data, None, pairs=pairs)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("gone.wav", "gone.wav: no such file; 1 of 2 clips are absent, in 1 of 1 mixtures: get them$"),
        ("broken.wav", "none of its mixtures could be scored .unreadable clip: dev/broken.wav 2.; give other clips"),
    ],
)
def test_an_evaluation_that_scores_nothing_is_an_error(
    other: str, message: str, data: Path, tmp_path: Path, here: None
) -> None:
    (data / "dev" / "broken.wav").write_text("Dear reader")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"path_1,label_1,path_2,label_2\ndev/one.wav,dog,dev/{other},rain\n")
    with pytest.raises(MediaError, match=message):
        score(data, tmp_path / "out", pairs=pairs, skip_missing=True, baselines=("mixture",))
    assert not (tmp_path / "out" / "baselines.json").exists()


@pytest.mark.parametrize("name", ["pairs.csv", "baselines.csv", "baselines.md"])
def test_a_file_that_is_no_result_is_not_replaced(name: str, data: Path, tmp_path: Path, here: None) -> None:
    (tmp_path / name).write_text("path_1,label_1,path_2,label_2\n")
    with pytest.raises(ConfigError, match=f"{name}: is there already and no result of trisep evaluate; choose another"):
        score(data, tmp_path, baselines=("mixture",))
    assert (tmp_path / name).read_text() == "path_1,label_1,path_2,label_2\n"


def test_the_list_that_is_scored_is_not_shortened(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").touch()
    with pytest.raises(ConfigError, match=r"--out: .*pairs.csv would be cut to 1 mixtures; choose another --out"):
        Arguments(checkpoint="default", data=tmp_path, pairs=tmp_path / "pairs.csv", limit=1, out=tmp_path)


def few_samples(num_samples: int, value: float = 0.5) -> Audio:
    return Audio(samples=np.full((1, num_samples), value, np.float32), sample_rate_hz=16000)


def test_a_clip_of_which_no_mixture_can_be_made_is_named_and_left_out_with_its_mixtures(
    data: Path, tmp_path: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "silent.wav", tone(0.5, amplitude=0.0), subtype="wav_float32")
    write_audio(tmp_path / "constant.wav", few_samples(8000), subtype="wav_float32")
    write_audio(tmp_path / "short.wav", few_samples(1), subtype="wav_float32")
    faulty = [f"dev/one.wav,dog,{tmp_path / name}.wav,rain" for name in ("silent", "constant", "short")]
    lines = ["path_1,label_1,path_2,label_2", *faulty, "dev/one.wav,dog,dev/two.wav,violin"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    command = ["evaluate", "--data", str(data), "--pairs", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "out")]
    command += ["--baseline", "mixture", "--baseline", "random-mask", "--workers", "1"]
    assert main(command) == 0
    text, told = capsys.readouterr()
    assert told == "trisep: 3 of 4 mixtures left out, for clips that the table names\n"
    assert main([*command, "--strict"]) == 1 and told in capsys.readouterr().err
    table = [row for row in rows(tmp_path / "out" / "baselines.csv") if row["system"] == "mixture"]
    reasons = [f"silent clip: {tmp_path}/silent.wav", f"silent clip: {tmp_path}/constant.wav"]
    reasons += [f"too short clip: {tmp_path}/short.wav", ""]
    assert [row["skipped"] for row in table] == [reason for reason in reasons for _ in range(2)]
    assert (table[0]["level_db"], table[1]["level_db"], table[0]["sdr"]) == ("-20.000000", "-inf", "")
    assert "| mixture | all | 2 (6) | 0.00 [" in text
    assert text.splitlines()[-2:] == [
        "Skipped: mixture: silent clip 4; mixture: too short clip 2; random-mask: silent clip 4; random-mask: too "
        "short clip 2.",
        f"Left out with all mixtures that hold them: {tmp_path}/constant.wav (silent clip), {tmp_path}/silent.wav "
        f"(silent clip), {tmp_path}/short.wav (too short clip).",
    ]


@pytest.mark.parametrize(("num_samples", "reason"), [(511, "too short clip: dev/few.wav"), (512, "")])
def test_a_clip_is_too_short_by_itself_where_zeros_follow_it(
    num_samples: int, reason: str, data: Path, tmp_path: Path
) -> None:
    sound = np.random.default_rng(0).uniform(0.1, 0.5, (1, num_samples)).astype(np.float32)
    write_audio(data / "dev" / "few.wav", Audio(samples=sound, sample_rate_hz=11025), subtype="wav_float32")
    sources = [ProtocolSource(path=data / "dev" / f"{name}.wav", label=name) for name in ("one", "few")]
    job = trisep.evaluation.run.plan(None, protocol("sop"), data, baselines=("mixture",))
    found = score_mixture(job, ProtocolMixture(index=0, sources=tuple(sources)), None)
    assert [row.skipped for row in found] == [reason] * 2


@pytest.mark.parametrize(("num_samples", "value"), [(1, 0.5), (8000, 0.0)])
def test_an_evaluation_without_a_finite_score_is_an_error(
    num_samples: int, value: float, data: Path, tmp_path: Path, here: None
) -> None:
    write_audio(tmp_path / "faulty.wav", few_samples(num_samples, value), subtype="wav_float32")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"path_1,label_1,path_2,label_2\n{tmp_path / 'faulty.wav'},rain,dev/one.wav,dog\n")
    with pytest.raises(
        MediaError, match=r"none of its mixtures could be scored \(.* clip: .*faulty.wav 2\); give other"
    ):
        score(data, tmp_path / "out", pairs=pairs, baselines=("mixture",))
    # Of one sound twice, the mixture is each of them, but for its level.
    pairs.write_text("path_1,label_1,path_2,label_2\ndev/one.wav,rain,dev/one.wav,dog\n")
    with pytest.raises(MediaError, match=r"could be scored \(without a finite SDRi or SI-SDRi 2\); give other clips"):
        score(data, tmp_path / "again", pairs=pairs, baselines=("mixture",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate --data {data}", "nothing to score: give a model's name, a checkpoint, or a system with --baseline"),
        ("evaluate --data {data} --baseline magic", "unknown baseline 'magic': expected one of mixture, nmf-mfcc"),
        ("evaluate --data {data} --baseline mixture --protocol none", "unknown protocol 'none'"),
        ("evaluate --data {data} --baseline mixture --pairs none.csv", "none.csv: cannot be read"),
        (
            "evaluate --data {data} --baseline mixture --pairs {data}/manifest.csv",
            "manifest.csv: lacks the columns label_1, label_2, path_1",
        ),
        (
            "evaluate --data {data} --baseline mixture --pairs {data}/wrong/absent.csv",
            "gone.wav: no such file; 1 of 2 clips are absent",
        ),
        ("evaluate --data {data} --baseline mixture --pairs {data}/wrong/list.json", "list.json: lacks the columns"),
        (
            "evaluate --data {data}/wrong/list.json --baseline mixture",
            "list.json: lacks the columns label, path, split",
        ),
        ("evaluate --data {data}/wrong/no_split.csv --baseline mixture", "no_split.csv: lacks the column split"),
        (
            "evaluate default --data {data} --query video",
            "wav: holds no picture, which this --query needs; use --query text",
        ),
        ("evaluate --data {data} --baseline mixture --out {data}/manifest.csv", "manifest.csv"),
        (
            "evaluate default --data {data} --protocol sop",
            "works at 16000 Hz, and protocol 'sop' is defined at 11025 Hz",
        ),
        ("evaluate default --data {data} --device cuda", "device 'cuda' is not available here"),
        ("evaluate --data {data} --baseline mixture --seed -1", "--seed must not be negative"),
    ],
)
def test_wrong_input_is_one_clear_line(
    words: str,
    message: str,
    data: Path,
    here: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    # No encoder is needed to see that there is nothing to look at.
    monkeypatch.setattr(trisep.evaluation.run, "_checkpoint", lambda path, device: load_model(path))
    assert main(words.format(data=data).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_model_that_is_asked_nothing_is_scored_in_the_best_order(data: Path, tmp_path: Path, here: None) -> None:
    card = {"signal": asdict(SignalSettings()), "encoder": "none", "encoder_fingerprint": ""}
    save_model(tmp_path / "pit", pit.Config.tiny().build(), model_name="pit", card=card)
    score(data, tmp_path / "out", checkpoint=str(tmp_path / "pit"), baselines=(), limit=1)
    table = [row for row in rows(tmp_path / "out" / "text.csv") if row["system"].startswith("model")]
    assert [row["system"] for row in table] == ["model (oracle order)"] * 2
    assert all(float(row["sdr"]) > -50 for row in table)


def test_a_worker_that_dies_is_one_clear_error(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dies(Here):
        def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            raise trisep.evaluation.run.BrokenProcessPool

    monkeypatch.setattr(trisep.evaluation.run, "ProcessPoolExecutor", Dies)
    with pytest.raises(TrisepError, match="a process that scores mixtures died"):
        score(data, tmp_path)
