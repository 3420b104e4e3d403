"""Calibrating a model that ships: the logits of every model by temperature and bias, VAST's words by a number of regions."""

import importlib.util
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from trisep import pretrained
from trisep.checkpoint import load_model, save_model
from trisep.errors import ConfigError
from trisep.models import clipsep, vast
from trisep.types import QueryEmbedding, SignalSettings

SCRIPT = Path(__file__).parents[2] / "scripts" / "promote_model.py"
QUERY = QueryEmbedding(vectors=torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(1)))
PICTURE = torch.randn(1, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5
INIT = {"name": "start", "step": 3, "weights_sha256": "f00d"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("promote_model", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("config", [clipsep.Config.tiny(), vast.Config.tiny()], ids=["clipsep", "vast"])
def test_logits_are_stretched_and_shifted(script: ModuleType, config: clipsep.Config | vast.Config) -> None:
    model = config.build().eval()
    before = model(PICTURE, QUERY).logits
    assert script.calibrate(model, 0.7, 0.4, None) == {"temperature": 0.7, "bias": 0.4}
    torch.testing.assert_close(model(PICTURE, QUERY).logits, 0.7 * before + 0.4, rtol=1e-4, atol=1e-5)


def test_a_number_of_regions_is_vasts_alone(script: ModuleType) -> None:
    model = vast.Config.tiny().build().eval()
    before = model(PICTURE, QUERY).masks
    assert script.calibrate(model, 1.0, 0.0, 3.0)["vector_regions"] == 3.0
    torch.testing.assert_close(model(PICTURE, QUERY).masks, (3 * before).clamp(0, 1))
    with pytest.raises(ConfigError, match="--vector-regions: only VAST has them, and this is CLIPSep"):
        script.calibrate(clipsep.Config.tiny().build(), 1.0, 0.0, 3.0)
    with pytest.raises(ConfigError, match="vector_regions and query_scale: expected above 0, got 0"):
        script.calibrate(model, 1.0, 0.0, 0.0)


def test_the_card_keeps_what_the_model_was_started_from(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = vast.Config.tiny().build()
    facts = {"signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0", "step": 9, "init": INIT}
    save_model(tmp_path / "run", model, model_name="vast", card=facts)
    (tmp_path / "card.json").write_text(json.dumps({"description": "ours"}))
    monkeypatch.setattr(pretrained, "__file__", str(tmp_path / "pretrained" / "__init__.py"))
    (tmp_path / "pretrained").mkdir()
    words = ["promote_model.py", str(tmp_path / "run"), "best", "--card", str(tmp_path / "card.json"), "--vector-regions", "2"]
    monkeypatch.setattr("sys.argv", words)
    script.main()
    loaded = load_model(tmp_path / "pretrained" / "best")
    assert (loaded.card["init"], loaded.card["step"], loaded.card["description"]) == (INIT, 9, "ours")
    assert loaded.card["mask_calibration"] == {"temperature": 1.0, "bias": 0.0, "vector_regions": 2.0}
    assert loaded.model.config == replace(model.config, vector_regions=2.0)
    monkeypatch.setattr("sys.argv", [*words[:-1], "-1"])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert "vector_regions and query_scale: expected above 0" in capsys.readouterr().err
