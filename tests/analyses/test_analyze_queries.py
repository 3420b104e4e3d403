"""Wordings of one query compared on the same mixtures, and tables of paraphrases."""

import csv
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from analysed import save_checkpoint
from clip_folders import write_clip
from PIL import Image
from training_stores import Words

import trisep.evaluation.queries
import trisep.separation.separator
from trisep.analyses.queries import ENSEMBLE, TEMPLATES, AskedRow, read_wordings, spread_db, summarise
from trisep.checkpoints.format import load_model
from trisep.cli import main
from trisep.errors import ConfigError
from trisep.evaluation.mixtures import score_mixture
from trisep.evaluation.run import plan
from trisep.models import clipsep, labelsep
from trisep.protocols import protocol

LABELS = ("dog", "rain", "xyz")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three clips of a second, of one label each."""
    for number, label in enumerate(LABELS):
        write_clip(tmp_path / f"{label}.mp4", seconds=1.0, seed=4 * number)
    lines = ["path,split,label", *(f"{label}.mp4,dev,{label}" for label in LABELS)]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder of words that needs no files."""
    for module in (trisep.evaluation.queries, trisep.separation.separator):
        monkeypatch.setattr(module, "load_encoder", lambda _: Words())


CLIPSEP = clipsep.Config(embedding_dim=384, unet=clipsep.Config.tiny().unet)


@pytest.mark.slow
def test_every_wording_is_asked_of_the_same_mixtures(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_checkpoint(tmp_path / "model", clipsep, CLIPSEP)
    options = ["--data", str(data), "--out", str(tmp_path / "out"), "--limit", "1", "--device", "cpu"]
    assert main(["analyze", "queries", str(model), *options]) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "out" / "queries.md").read_text() and f"| {ENSEMBLE} | 2 |" in text
    with (tmp_path / "out" / "queries_sources.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [
        ENSEMBLE,
        *(template.format("…") for template in TEMPLATES if template != "{}"),
        *(f"paraphrase {number}" for number in (1, 2, 3)),
    ]
    names.insert(5, "the name alone")
    assert list(dict.fromkeys(row["wording"] for row in rows)) == names
    asked = {row["text"] for row in rows if row["wording"] == "paraphrase 1"}
    labels = {row["label"] for row in rows}
    # Nobody wrote a paraphrase for xyz.
    assert asked == {{"dog": "a puppy barking", "rain": "a rainy day"}[label] for label in labels - {"xyz"}}
    # The protocol's own template scores as in `trisep evaluate`.
    rules = protocol("avmini")
    job = plan(str(model), rules, data, device="cpu")
    evaluated = [
        one for mixture in islice(rules.pairs(data, 0), 1) for one in score_mixture(job, mixture, load_model(model))
    ]
    expected = [
        f"{one.scores.sdri:.6f}" for one in evaluated if one.system == "model, text query" and one.scores is not None
    ]
    assert [line["score"] for line in rows if line["wording"] == "a photo of …"] == expected and len(set(expected)) == 2
    with Image.open(tmp_path / "out" / "queries.png") as picture:
        assert picture.size[0] == 1000
    # The folder is known as that of an earlier run; what is wrong with the next one is something else.
    assert main(["analyze", "queries", "nothing", "--data", str(data), "--out", str(tmp_path / "out")]) == 2
    assert "unknown model 'nothing'" in capsys.readouterr().err


def test_paraphrases_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("label,wording\ndog,hound\ndog,a barking animal\nrain,drizzle\ncat,kitten\n")
    *_, first, second = read_wordings(tmp_path / "mine.csv", LABELS)
    assert first.words == {"dog": "hound", "rain": "drizzle"} and second.words == {"dog": "a barking animal"}
    with pytest.raises(ConfigError, match=r"mine.csv: names none of the labels of the mixtures \(tuba, …\)"):
        read_wordings(tmp_path / "mine.csv", ["tuba"])


def row(mixture: int, source: int, wording: str, score: float) -> AskedRow:
    return AskedRow(mixture=mixture, source=source, label="dog", wording=wording, text="dog", skipped="", score=score)


def test_differences_are_over_the_mixtures_that_both_have() -> None:
    rows = [
        row(0, 0, ENSEMBLE, 1.0),
        row(0, 1, ENSEMBLE, 3.0),
        row(1, 0, ENSEMBLE, 5.0),
        row(2, 0, ENSEMBLE, float("nan")),
    ]
    rows += [row(0, 0, "other", 2.0), row(1, 0, "other", 4.0), row(2, 0, "other", 9.0)]
    ensemble, other = summarise(rows, seed=0)
    assert ensemble.score.mean == 3.5 and ensemble.sources == 3 and ensemble.difference.mean_difference == 0
    assert other.score.mean == 5 and other.difference.mean_difference == -0.5
    np.testing.assert_allclose(spread_db(rows), [0.5, 0.0, 0.5, 0.0])
    with pytest.raises(ConfigError, match="no source has a score"):
        summarise(rows[3:], seed=0)


def test_a_model_that_reads_labels_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_checkpoint(tmp_path / "model", labelsep, labelsep.Config.tiny())
    command = ["analyze", "queries", str(model), "--data", str(data), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "labelsep reads labels, whatever their wording" in error and error.count("\n") == 1
