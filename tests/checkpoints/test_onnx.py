"""Export to ONNX: the files give what PyTorch gives, at other sizes too, and the example separates with them."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from trisep.checkpoints.format import Checkpoint
from trisep.checkpoints.onnx import export_onnx
from trisep.encoders import encode_query_text, load_encoder
from trisep.errors import CheckpointError, ConfigError, MediaError
from trisep.models.hfra import Config
from trisep.models.pit import Config as PITConfig
from trisep.networks.audio_unet import UNetConfig
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import Separator
from trisep.types import Audio, SignalSettings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "separate_with_onnx.py"
SMALL = UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4, upsampling="transposed")


def checkpoint(model: torch.nn.Module, name: str) -> Checkpoint:
    signal = SignalSettings()
    encoder = load_encoder("lite")
    card = {"reach_frames": 40}
    return Checkpoint(
        model=model.eval().requires_grad_(False),
        model_name=name,
        signal=signal,
        encoder="lite",
        encoder_fingerprint=encoder.fingerprint,
        card=card,
        path=Path(name),
    )


@pytest.fixture
def small() -> Checkpoint:
    torch.manual_seed(0)
    config = Config(embedding_dim=384, unet=SMALL, normalize_query=True, query_scale=20.0, modulate=True)
    model = config.build()
    for layer in model.fusion.modulation:
        torch.nn.init.normal_(layer.projection.weight)
    return checkpoint(model, "hfra")


def test_a_model_that_answers_no_query_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="pit reads nothing, and only models that read one vector"):
        export_onnx(checkpoint(PITConfig(unet=SMALL).build(), "pit"), load_encoder("lite"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_left_alone(small: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds notes.txt; choose a new or empty folder"):
        export_onnx(small, load_encoder("lite"), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_disk_without_room_is_said_before_any_work(
    small: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=50_000_000))
    monkeypatch.setattr("trisep.checkpoints.onnx._export", lambda *_: pytest.fail("it has begun"))
    with pytest.raises(MediaError, match=r"out: about .* MB are to be written, and 50.0 MB are free"):
        export_onnx(small, load_encoder("lite"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_export_separates_without_pytorch_as_the_model_does(small: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    encoder = load_encoder("lite")
    content = export_onnx(small, encoder, tmp_path / "exported")
    assert content == json.loads((tmp_path / "exported" / "export.json").read_text(encoding="utf-8"))
    assert set(content["largest_difference"]) == {"separator", "words", "picture", "sound"}
    assert max(content["largest_difference"].values()) < 1e-5

    samples = 0.1 * np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    soundfile.write(tmp_path / "sound.wav", samples, 16000, subtype="FLOAT")
    command = [sys.executable, EXAMPLE, "exported", "sound.wav", "Person playing a xylophone!", "stem.wav"]
    subprocess.run(command, cwd=tmp_path, check=True)
    stem, rate_hz = soundfile.read(tmp_path / "stem.wav", dtype="float32")
    options = SeparationOptions(precision="fp32")
    query = "Person playing a xylophone!"
    expected = Separator(small, encoder).separate(Audio(samples[None], 16000), [query], options).stems[query].audio
    assert rate_hz == 16000
    np.testing.assert_allclose(stem, expected.samples[0], atol=2e-4 * np.abs(expected.samples).max())

    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "exported" / "words.onnx"))
    ids, attention = encoder.tokenize([template.format("dog") for template in content["templates"]])  # type: ignore[attr-defined]
    (vector,) = session.run(None, {"ids": ids.numpy(), "attention": attention.numpy()})
    np.testing.assert_allclose(vector, encode_query_text(encoder, "dog").numpy(), atol=1e-6)
