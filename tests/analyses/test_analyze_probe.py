"""Classes read off embeddings by a linear probe: what is told apart, what is left out, and what is refused."""

import builtins
import csv
import re
from pathlib import Path

import numpy as np
import pytest
from analysed import save_checkpoint
from PIL import Image
from training_stores import Loudness, make_store, write_labels

import trisep.analyses.probe
from trisep.analyses.probe import fit_and_predict, split_clips
from trisep.cli import main
from trisep.errors import ConfigError
from trisep.models import pit
from trisep.store.read import ClipStore


@pytest.fixture(scope="module")
def train_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips that sound as those of the other store, from files of other names."""
    folder = tmp_path_factory.mktemp("train")
    store = make_store(folder, num_clips=6)
    index = store / "index.jsonl"
    index.write_text(index.read_text().replace('"source":"', '"source":"train_'))
    return store


def write_all_labels(file: Path, labels: dict[str, list[str]]) -> Path:
    """Labels by store, for its clips in order."""
    rows = [
        f"{ClipStore(Path(store)).source(clip)},{label}"
        for store, names in labels.items()
        for clip, label in enumerate(names)
    ]
    file.write_text("\n".join(["path,label", *rows]) + "\n")
    return file


def test_classes_that_one_side_lacks_are_left_out_and_counted(
    small_store: Path, train_store: Path, tmp_path: Path
) -> None:
    names = {
        str(train_store): ["a", "b", "a", "b", "single", "c"],
        str(small_store): ["b", "a", "b", "d", "single", "b", "a", "a"],
    }
    labels = write_all_labels(tmp_path / "labels.csv", names)
    split = split_clips(ClipStore(train_store), ClipStore(small_store), labels, limit=None, seed=0)
    assert split.names == ("a", "b") and split.num_left_out == (2, 2)
    assert split.train.tolist() == [0, 1, 2, 3] and split.train_labels.tolist() == [0, 1, 0, 1]
    assert split.test.tolist() == [0, 1, 2, 5, 6, 7] and split.test_labels.tolist() == [1, 0, 1, 1, 0, 0]


def test_clips_of_both_stores_and_too_few_classes_are_refused(
    small_store: Path, train_store: Path, tmp_path: Path
) -> None:
    store = ClipStore(small_store)
    with pytest.raises(ConfigError, match=r"8 of its 8 clips are also in .*, the first is"):
        split_clips(store, store, write_labels(small_store, tmp_path / "same.csv"), limit=None, seed=0)
    labels = write_all_labels(
        tmp_path / "one.csv", {str(train_store): ["a"] * 6, str(small_store): ["a"] * 4 + ["b"] * 4}
    )
    with pytest.raises(ConfigError, match="at least two classes with two clips .* found 1"):
        split_clips(ClipStore(train_store), store, labels, limit=None, seed=0)


@pytest.mark.slow
def test_separable_classes_are_told_apart_and_noise_is_not() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    clear = np.eye(3)[labels] * 100 + generator.standard_normal((60, 3))
    noise = generator.standard_normal((60, 3))
    predicted, _ = fit_and_predict(clear[:30].astype(np.float32), labels[:30], clear[30:].astype(np.float32), seed=0)
    assert predicted.tolist() == labels[30:].tolist()
    guessed, strength = fit_and_predict(noise[:30], labels[:30], noise[30:], seed=0)
    assert (guessed == labels[30:]).mean() < 0.7 and strength <= 10


@pytest.mark.slow
def test_the_analysis_writes_table_and_figure(
    small_store: Path,
    train_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trisep.analyses.probe, "load_teacher", lambda _: Loudness(4))
    run = save_checkpoint(tmp_path / "run" / "model", pit, pit.Config.tiny(), encoder="none", fingerprint="")
    names = {
        str(train_store): ["a", "b", "a", "b", "a", "c"],
        str(small_store): ["b", "a", "b", "d", "a", "b", "a", "a"],
    }
    labels = write_all_labels(tmp_path / "labels.csv", names)
    options = [
        "--train",
        str(train_store),
        "--test",
        str(small_store),
        "--labels",
        str(labels),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["analyze", "probe", str(run), *options, "--teacher", "clap", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "out" / "probe.md").read_text()
    assert "| run | pooled bottleneck, 8 wide |" in text and "| frozen loudness | its embedding, 4 wide |" in text
    assert "Chance: 50.0 %. Left out, as the other side lacks their class: 1 training and 1 test clips." in text
    with (tmp_path / "out" / "probe.csv").open(newline="") as file:
        ours, _ = csv.DictReader(file)
    with (tmp_path / "out" / "probe_classes.csv").open(newline="") as file:
        recalls = list(csv.DictReader(file))
    assert [row["class"] for row in recalls] == ["a", "b"]
    assert float(ours["balanced_accuracy"]) == pytest.approx(np.mean([float(row["run"]) for row in recalls]), abs=1e-5)
    assert (ours["train_clips"], ours["test_clips"], ours["chance"]) == ("5", "7", "0.500000")
    with Image.open(tmp_path / "out" / "probe.png") as picture:
        assert picture.size == (890, 320)
    # The folder is known as that of an earlier run; what is wrong with the next one is something else.
    assert main(["analyze", "probe", "nothing", *options[:6], "--out", str(tmp_path / "out")]) == 2
    assert "unknown model 'nothing'" in capsys.readouterr().err


def test_labels_without_the_clips_are_one_line(
    small_store: Path, train_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("path,label\nelsewhere.mp4,dog\n")
    stores = ["--train", str(train_store), "--test", str(small_store)]
    command = [
        "analyze",
        "probe",
        "default",
        *stores,
        "--labels",
        str(tmp_path / "labels.csv"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 2
    assert re.fullmatch(r"trisep: error: .*labels.csv: has no label for 6 of 6 clips of .*\n", capsys.readouterr().err)


def test_a_missing_library_is_named_with_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_sklearn(name: str, *others: object, **more: object) -> object:
        if name.partition(".")[0] == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
        return real(name, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    assert (
        main(
            [
                "analyze",
                "probe",
                "default",
                "--train",
                "a",
                "--test",
                "b",
                "--labels",
                "c",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    needs = "trisep analyze probe needs sklearn, which is not installed; run: pip install 'trisep[analysis]'"
    assert capsys.readouterr().err == f"trisep: error: {needs}\n"
