"""One mixture as a model takes it apart: which columns are drawn, and what is scored."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from analysed import save_checkpoint
from clip_folders import write_clip
from training_stores import Words

import trisep.analyses.mixture
import trisep.evaluation.queries
import trisep.separation.separator
from trisep.cli import main
from trisep.figures.mixture import Column, draw_columns
from trisep.models import clipsep_nit, pit, wave_u_net
from trisep.types import SignalSettings

SHAPE = {"embedding_dim": 384, "unet": clipsep_nit.Config.tiny().unet}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two clips of a second, of one label each."""
    for number, label in enumerate(("dog", "rain")):
        write_clip(tmp_path / f"{label}.mp4", seconds=1.0, seed=8 * number)
    (tmp_path / "manifest.csv").write_text("path,split,label\ndog.mp4,dev,dog\nrain.mp4,dev,rain\n")
    return tmp_path


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> list[Column]:
    """The columns of the figure, which is drawn, too."""
    for module in (trisep.evaluation.queries, trisep.separation.separator):
        monkeypatch.setattr(module, "load_encoder", lambda _: Words())
    kept: list[Column] = []

    def draw(found: list[Column], path: Path, *, signal: SignalSettings, title: str) -> None:
        kept.extend(found)
        draw_columns(found, path, signal=signal, title=title)

    monkeypatch.setattr(trisep.analyses.mixture, "draw_columns", draw)
    return kept


def test_words_and_noise_heads_have_a_column_each_beside_the_truth(
    data: Path, tmp_path: Path, columns: list[Column], capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = save_checkpoint(tmp_path / "model", clipsep_nit, clipsep_nit.Config(**SHAPE)), tmp_path / "out"
    options = ["--data", str(data), "--out", str(out), "--device", "cpu"]
    assert main(["analyze", "mixture", str(model), *options, "--words", "a dog", "barks"]) == 0
    heads = [f"noise head {number}" for number in (1, 2)]
    names = [column.title for column in columns]
    assert names[0] == "mixture" and {*names[1:3]} == {"truth: dog", "truth: rain"}
    assert names[3:] == ["“a dog”", "“barks”", *heads]
    first, second = (columns[index].mask for index in (1, 2))
    assert first is not None and second is not None
    # Every bin belongs to the louder source, so the ideal binary masks never overlap and leave ties alone out.
    assert set(np.unique(first)) <= {0.0, 1.0} and (first + second).max() == 1 and (first + second).mean() > 0.9
    for column in columns[3:]:
        assert column.mask is not None and 0 <= column.mask.min() and column.mask.max() <= 1
        np.testing.assert_allclose(column.magnitude, columns[0].magnitude * column.mask, rtol=1e-6)
    with (out / "mixture.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["asked"] for row in rows] == names[3:]
    assert all(np.isfinite(float(row["sdri"])) for row in rows[:2]) and {row["sdri"] for row in rows[2:]} == {"nan"}
    assert [float(row["mean_mask"]) for row in rows] == pytest.approx(
        [float(torch.as_tensor(column.mask).mean()) for column in columns[3:]], abs=1e-5
    )
    assert (out / "mixture.png").is_file() and "in rain + dog" in capsys.readouterr().out.replace(
        "dog + rain", "rain + dog"
    )
    assert main(["analyze", "mixture", str(model), *options, "--mixture", "200"]) == 2
    assert "--mixture 200: the list of 'avmini' has fewer mixtures" in capsys.readouterr().err


def test_a_model_without_queries_has_its_outputs_in_the_order_of_the_sources(
    data: Path, tmp_path: Path, columns: list[Column], capsys: pytest.CaptureFixture[str]
) -> None:
    blind = pit.Config(unet=SHAPE["unet"])  # type: ignore[arg-type]
    model = save_checkpoint(tmp_path / "model", pit, blind, encoder="none", fingerprint="")
    options = ["--data", str(data), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["analyze", "mixture", str(model), *options]) == 0
    assert [column.title for column in columns[3:]] == ["output 1 (oracle order)", "output 2 (oracle order)"]
    assert main(["analyze", "mixture", str(model), *options, "--words", "dog"]) == 2
    assert "pit reads nothing, no words" in capsys.readouterr().err
    waves = save_checkpoint(tmp_path / "waves", wave_u_net, wave_u_net.Config.tiny(), encoder="none", fingerprint="")
    assert main(["analyze", "mixture", str(waves), *options]) == 2
    assert "makes no masks to draw" in capsys.readouterr().err
