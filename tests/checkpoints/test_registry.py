"""Models by name: which there are, what goes first, what is said of each, and that no weights are read for that."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from trisep import pretrained
from trisep.checkpoints import registry
from trisep.checkpoints.format import save_model
from trisep.checkpoints.registry import (
    available_models,
    checkpoint_folder,
    describe_models,
    load_named,
    read_model_card,
)
from trisep.errors import CheckpointError
from trisep.models import pit
from trisep.types import SignalSettings


def write_card(folder: Path, **card: object) -> Path:
    """A checkpoint without weights."""
    folder.mkdir(parents=True)
    needed = {"format": 1, "model": "pit", "encoder": "none", "encoder_fingerprint": "none", "config": {}}
    (folder / "config.json").write_text(json.dumps({**needed, "signal": {"sample_rate_hz": 16000}, **card}))
    return folder


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of two models that come with the package, a folder that is none, and a folder of another name."""
    folder = tmp_path / "shipped"
    write_card(folder / "small", signal={"sample_rate_hz": 8000}, description="A small one.")
    write_card(folder / "bare")
    (folder / "leftovers").mkdir()
    write_card(tmp_path / "here" / "small", model="other")
    write_card(tmp_path / "here" / "mine")
    monkeypatch.setattr(registry, "_FOLDER", folder)
    monkeypatch.chdir(tmp_path / "here")
    return folder


def test_a_model_is_a_folder_with_a_card(shipped: Path) -> None:
    assert list(available_models().items()) == [("bare", shipped / "bare"), ("small", shipped / "small")]


def test_the_models_that_come_with_the_package() -> None:
    folder = Path(pretrained.__file__).parent
    assert available_models()["default"] == folder / "default"


def test_a_name_goes_before_a_path(shipped: Path) -> None:
    assert checkpoint_folder("small") == shipped / "small"
    assert checkpoint_folder("mine") == Path("mine")
    assert checkpoint_folder(shipped / "leftovers") == shipped / "leftovers"


def test_an_unknown_name_lists_those_there_are(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "unknown model 'nit': expected a checkpoint folder, hf:OWNER/NAME or one of these names: "
    with pytest.raises(CheckpointError, match=f"^{message}bare, small$"):
        checkpoint_folder("nit")
    monkeypatch.setattr(registry, "_FOLDER", shipped / "leftovers")
    with pytest.raises(CheckpointError, match=f"^{message}none in this installation$"):
        checkpoint_folder("nit")


def test_a_file_that_is_no_model_is_not_called_an_unknown_one(shipped: Path) -> None:
    file = shipped / "small" / "config.json"
    with pytest.raises(CheckpointError) as caught:
        checkpoint_folder(file)
    assert str(caught.value) == (
        f"{file}: is there and no checkpoint: expected a folder that holds config.json and model.safetensors, "
        "hf:OWNER/NAME or one of these names: bare, small"
    )


def test_rows_say_what_the_card_says(shipped: Path) -> None:
    bare, small = describe_models()
    assert small == {
        "name": "small",
        "model": "pit",
        "encoder": "none",
        "sample_rate_hz": 8000,
        "description": "A small one.",
        "path": str(shipped / "small"),
    }
    assert (bare["name"], bare["sample_rate_hz"], bare["description"]) == (
        "bare",
        16000,
        "pit with encoder none, 16000 Hz",
    )


def test_the_card_of_a_model_with_its_place_and_size(shipped: Path) -> None:
    card = read_model_card("small")
    assert (card["path"], card["weights_bytes"], card["model"]) == (str(shipped / "small"), None, "pit")
    (shipped / "small" / "model.safetensors").write_bytes(b"12345")
    assert read_model_card("small")["weights_bytes"] == 5
    file = shipped / "small" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights_bytes": "many", "path": "elsewhere"}))
    assert read_model_card("small")["weights_bytes"] == 5 and read_model_card("small")["path"] == str(shipped / "small")
    with pytest.raises(CheckpointError, match="leftovers: not a checkpoint folder"):
        read_model_card(shipped / "leftovers")


def test_a_named_model_is_loaded(shipped: Path) -> None:
    model = pit.Config.tiny().build()
    card = {"signal": asdict(SignalSettings()), "encoder": "none", "encoder_fingerprint": "e"}
    save_model(shipped / "whole", model, model_name="pit", card=card)
    checkpoint = load_named("whole")
    assert (checkpoint.path, checkpoint.model_name, checkpoint.encoder_fingerprint) == (shipped / "whole", "pit", "e")
    with pytest.raises(CheckpointError, match="small"):
        load_named("small")
