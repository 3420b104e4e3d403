"""A model that ships: its logits calibrated by temperature and bias, VAST's words by a number of regions, and in its
card what it was made from and how far it looks.
"""

import importlib.util
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from training_stores import Words

from trisep import pretrained
from trisep.checkpoints.format import Checkpoint, load_model, save_model
from trisep.encoders import load_encoder
from trisep.errors import ConfigError
from trisep.models import clipsep, labelsep, pit, sound_of_pixels, vast
from trisep.networks.audio_unet import UNetConfig
from trisep.types import QueryEmbedding, SignalSettings

SCRIPT = Path(__file__).parents[2] / "scripts" / "promote_model.py"
QUERY = QueryEmbedding(vectors=torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(1)))
PICTURE = torch.randn(1, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5
INIT = {"name": "start", "step": 3, "weights_sha256": "f00d"}
FACTS = {"signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0", "step": 9, "init": INIT}
SHIFTED = UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4, upsampling="transposed")
"""A small U-Net that is equivariant to shifts."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("promote_model", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def promote(
    script: ModuleType, config: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str, **facts: object
) -> Checkpoint:
    """A run's model of this shape as the script ships it, beside a card of one line."""
    name = type(config).__module__.rpartition(".")[2]
    save_model(folder / "run", config.build(), model_name=name, card={**FACTS, **facts})
    (folder / "card.json").write_text(json.dumps({"description": "ours"}))
    monkeypatch.setattr(pretrained, "__file__", str(folder / "pretrained" / "__init__.py"))
    (folder / "pretrained").mkdir(exist_ok=True)
    places = [str(folder / "run"), "best", "--card", str(folder / "card.json")]
    monkeypatch.setattr("sys.argv", ["promote_model.py", *places, *words])
    script.main()
    return load_model(folder / "pretrained" / "best")


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
    config = vast.Config.tiny()
    loaded = promote(script, config, tmp_path, monkeypatch, "--vector-regions", "2")
    assert (loaded.card["init"], loaded.card["step"], loaded.card["description"]) == (INIT, 9, "ours")
    assert loaded.card["mask_calibration"] == {"temperature": 1.0, "bias": 0.0, "vector_regions": 2.0}
    assert loaded.model.config == replace(config, vector_regions=2.0)
    with pytest.raises(SystemExit, match="2"):
        promote(script, config, tmp_path, monkeypatch, "--vector-regions", "-1")
    assert "vector_regions and query_scale: expected above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "facts", "query"),
    [
        (clipsep.Config(embedding_dim=384, unet=SHIFTED), {}, {"vectors": torch.randn(1, 1, 384)}),
        (
            vast.Config(embedding_dim=384, unet=replace(SHIFTED, out_channels=1)),
            {},
            {"vectors": torch.randn(1, 1, 384)},
        ),
        (
            labelsep.Config(num_labels=2, embedding_dim=8, unet=SHIFTED),
            {"encoder": "none", "labels": ["violin", "tuba"]},
            {"label_ids": torch.ones(1, 1, dtype=torch.long)},
        ),
        (
            sound_of_pixels.Config(unet=SHIFTED, image_width=2),
            {"encoder": "none"},
            {"frames": torch.zeros(1, 1, 1, 3, 224, 224, dtype=torch.uint8)},
        ),
    ],
    ids=["clipsep", "vast", "labelsep", "sound_of_pixels"],
)
def test_the_card_says_how_far_the_network_looks(
    config: Any,
    facts: dict[str, Any],
    query: dict[str, torch.Tensor],
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(2)
    monkeypatch.setattr(script, "load_encoder", lambda name: Words() if name == "lite" else load_encoder(name))
    loaded = promote(script, config, tmp_path, monkeypatch, **facts)
    reach, asked = loaded.reach_frames, QueryEmbedding(**query)
    assert reach is not None and 0 < reach < 32
    sound = torch.randn(1, 1, 256, 128) * 3 - 4
    changed = torch.where(torch.arange(128) < 64 + reach, sound, torch.randn(1, 1, 256, 128) * 3 - 4)
    before, after = (loaded.model(one, asked).logits for one in (sound, changed))
    differs = (after - before).abs().amax(dim=(0, 1, 2)) > 1e-4 * before.abs().max()
    assert not differs[:64].any() and differs[64 + reach :].any()


@pytest.mark.parametrize("config", [clipsep.Config.tiny(), pit.Config(unet=SHIFTED)], ids=["windows", "no query"])
def test_a_model_that_is_not_run_in_segments_has_no_reach(
    config: Any, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reach_frames" not in promote(script, config, tmp_path, monkeypatch).card
