"""Checkpoints come back as they were written; whatever is no checkpoint, or does not fit, is one clear line."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import trisep.checkpoints.format
from trisep.checkpoints.format import (
    git_revision,
    load_model,
    load_optimizer_tensors,
    load_state,
    optimizer_tensors,
    pack,
    read_card,
    save_model,
    save_state,
    unpack,
)
from trisep.errors import CheckpointError, MediaError
from trisep.media.records import from_json
from trisep.models.clipsep import Config
from trisep.recipes import recipe, recipe_names
from trisep.types import QueryEmbedding, SignalSettings

CARD = {"signal": dataclasses.asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0123"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", Config.tiny().build(), model_name="clipsep", card=CARD)
    return tmp_path / "model"


def edit_card(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_packed_weights_take_a_quarter_and_come_back_as_single(tmp_path: Path, folder: Path) -> None:
    network = load_model(folder).model
    save_model(tmp_path / "packed", network, model_name="clipsep", card=CARD, packed=True)
    stored, loaded = (
        load_file(tmp_path / "packed" / "model.safetensors"),
        load_model(tmp_path / "packed").model.state_dict(),
    )
    for key, value in network.state_dict().items():
        kind = torch.int8 if value.ndim == 4 else torch.float16 if value.is_floating_point() else torch.int64
        assert stored[key].dtype == kind
        assert loaded[key].dtype == value.dtype
        if value.ndim == 4:
            largest = value.abs().amax(dim=(1, 2, 3), keepdim=True)
            assert ((loaded[key] - value).abs() <= largest / 254 * 1.001).all()
        else:
            torch.testing.assert_close(loaded[key], value, rtol=1e-3, atol=1e-4)


def test_kernels_that_stay_packed_in_memory_are_the_same_numbers_laid_out_alike(tmp_path: Path, folder: Path) -> None:
    save_model(tmp_path / "packed", load_model(folder).model, model_name="clipsep", card=CARD, packed=True)
    whole, packed = (load_model(tmp_path / "packed", packed=is_packed).model for is_packed in (False, True))
    kernels = {name: value for name, value in whole.named_parameters() if value.ndim == 4}
    assert len(kernels) > 4 and not {name for name, _ in packed.named_parameters()} & kernels.keys()
    for name, value in kernels.items():
        layer = packed.get_submodule(name.removesuffix(".weight"))
        assert layer.weight.equal(value) and layer.weight.stride() == value.stride()
        assert layer.packed_kernel.dtype == torch.int8 and layer.packed_kernel.shape == value.shape
    x, query = torch.randn(1, 1, 256, 16), QueryEmbedding(vectors=torch.randn(1, 2, whole.config.embedding_dim))
    with torch.inference_mode():
        assert packed(x, query).masks.equal(whole(x, query).masks)
    unpacked = load_model(folder, packed=True).model  # its file holds single-precision kernels
    assert {name for name, _ in unpacked.named_parameters()} == {name for name, _ in whole.named_parameters()}


@pytest.mark.parametrize("name", recipe_names())
def test_the_parts_of_a_recipe_survive_json(name: str) -> None:
    whole = recipe(name)
    saved = json.loads(json.dumps(dataclasses.asdict(whole)))
    parts = {
        field.name: value
        for field in dataclasses.fields(whole)
        if dataclasses.is_dataclass(value := getattr(whole, field.name))
    }
    assert {"model", "loss", "signal", "mixing", "optimizer", "training"} <= parts.keys()
    for part, value in parts.items():
        assert from_json(type(value), saved[part]) == value


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="not a checkpoint folder: it should hold config.json and model.safetensors"
    ):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{ nothing")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        read_card(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected a trisep checkpoint of format 1"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "expected a trisep checkpoint of format 1"),
        ({"model": "klipsep"}, "unknown model 'klipsep'"),
        ({"config": {"wings": 2}}, "config.wings: unknown setting"),
        ({"config": {"unet": {"num_levels": 1}}}, "num_levels: expected 2 to 8"),
        ({"signal": {"sample_rate": 16000}}, "signal.sample_rate: unknown setting"),
        ({"config": {"embedding_dim": 9}}, "model.safetensors: its tensors do not fit config.json"),
    ],
)
def test_a_card_that_does_not_fit(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_card(folder, **changes)
    with pytest.raises(CheckpointError, match=message) as raised:
        load_model(folder)
    assert "\n" not in str(raised.value)


def test_a_card_that_lacks_something(folder: Path) -> None:
    card = json.loads((folder / "config.json").read_text())
    del card["encoder"]
    (folder / "config.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="not a config this version reads .encoder is missing"):
        load_model(folder)


@pytest.mark.parametrize("damage", [b"", b"these are no tensors", None])
def test_weights_that_cannot_be_read(folder: Path, damage: bytes | None) -> None:
    if damage is None:
        (folder / "model.safetensors").unlink()
    else:
        (folder / "model.safetensors").write_bytes(damage)
    with pytest.raises(CheckpointError, match="model.safetensors: missing or not a safetensors file"):
        load_model(folder)


def test_a_training_state_comes_back(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3), "rng": torch.get_rng_state()}
    save_state(tmp_path / "state", tensors, {"step": 3})
    loaded, values = load_state(tmp_path / "state")
    assert values == {"step": 3}
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[key], tensors[key]) for key in tensors)
    (tmp_path / "state" / "state.json").unlink()
    with pytest.raises(CheckpointError, match="the training state cannot be read .*; remove this folder"):
        load_state(tmp_path / "state")


def test_an_optimiser_goes_on_from_its_tensors() -> None:
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizers = [torch.optim.AdamW([parameter], lr=0.1) for parameter in parameters]
    for step in range(4):
        if step == 2:
            fresh = torch.optim.AdamW([parameters[1]], lr=0.1)
            load_optimizer_tensors(fresh, optimizer_tensors(optimizers[1]))
            optimizers[1] = fresh
        for parameter, optimizer in zip(parameters, optimizers, strict=True):
            parameter.grad = torch.tensor([1.0, -2.0]) * (step + 1)
            optimizer.step()
    assert torch.equal(parameters[0], parameters[1])


def test_a_checkpoint_is_replaced_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "model.safetensors").read_bytes()

    def no_space(path: Path, tensors: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(trisep.checkpoints.format, "write_tensors", no_space)
        with pytest.raises(MediaError, match="model: cannot be written .No space left on device"):
            save_model(folder, Config.tiny().build(), model_name="clipsep", card=CARD)
    assert (folder / "model.safetensors").read_bytes() == before
    save_model(folder, Config.tiny().build(), model_name="clipsep", card=CARD)
    assert (folder / "model.safetensors").read_bytes() != before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MediaError, match="file: cannot be written"):
        save_state(tmp_path / "file" / "state", {}, {})


def test_the_revision_is_empty_outside_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(git_revision(), str)

    def no_git(*arguments: object, **options: object) -> None:
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert git_revision() == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"config": []},
        {"signal": []},
        {"config": {"unet": {"base_width": 4.5}}},
        {"config": {"unet": {"base_width": "4"}}},
        {"config": {"unet": {"num_levels": True}}},
        {"config": {"unet": None}},
        {"config": {"embedding_dim": None}},
        {"config": {"unet": {"normalization": "none"}}},
        {"config": {"embedding_dim": 2**60}},
        {"signal": {"window_samples": 10**9}},
        {"signal": {"sample_rate_hz": 10**300}},
        {"signal": {"mixture_level_db": 1e300}},
        {"signal": {"mixture_level_db": "-20"}},
        {"step": float("nan")},
        {"model": ["clipsep"]},
    ],
)
def test_a_card_that_lies_is_one_line(folder: Path, changes: dict[str, object]) -> None:
    edit_card(folder, **changes)
    with pytest.raises(CheckpointError, match=r"config.json: not ") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_card_that_is_too_deep_is_one_line(folder: Path) -> None:
    (folder / "config.json").write_text('{"format": 1, "a": ' + "[" * 100_000)
    with pytest.raises(CheckpointError, match=r"config.json: not readable as JSON"):
        load_model(folder)


def test_by_hand() -> None:
    kernel = torch.tensor([[1.27, -0.635], [0.0, 0.0]]).reshape(2, 2, 1, 1)
    tensors = {"up.weight": kernel, "up.bias": torch.tensor([0.5]), "num_batches": torch.tensor(3)}
    packed = pack(tensors)
    assert packed["up.weight"].flatten().tolist() == [127, -64, 0, 0]
    assert packed["up.weight.int8_scale"].flatten()[0] == pytest.approx(0.01)
    assert packed["up.bias"].dtype == torch.float16 and packed["num_batches"] == 3
    restored = unpack(packed)
    assert set(restored) == set(tensors)
    torch.testing.assert_close(restored["up.weight"].flatten(), torch.tensor([1.27, -0.64, 0.0, 0.0]))
    assert unpack(tensors)["up.weight"].equal(kernel)


@pytest.mark.parametrize("scale", [None, torch.ones(3, 1, 1, 1), torch.full((2, 1, 1, 1), float("nan"))])
def test_a_scale_that_is_missing_or_does_not_fit_is_refused(scale: torch.Tensor | None) -> None:
    tensors = pack({"up.weight": torch.ones(2, 2, 1, 1)})
    del tensors["up.weight.int8_scale"]
    if scale is not None:
        tensors["up.weight.int8_scale"] = scale
    with pytest.raises(CheckpointError, match="the 8-bit tensor up.weight has no scale that fits it"):
        unpack(tensors)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_fifo_is_not_waited_for(folder: Path, file: str) -> None:
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises(CheckpointError, match="not a checkpoint folder|not a regular file"):
        load_model(folder)


def test_a_network_larger_than_its_tensors_takes_no_memory(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["config"]
    edit_card(folder, config=config | {"embedding_dim": 10**12})
    with pytest.raises(CheckpointError, match="config.json: not a config this version reads .it describes 4000000"):
        load_model(folder)


def test_what_is_saved_can_be_read_by_others(folder: Path, tmp_path: Path) -> None:
    save_state(tmp_path / "state", {"a": torch.ones(3)}, {"step": 1})
    for file in (folder / "model.safetensors", tmp_path / "state" / "state.safetensors"):
        assert (
            file.stat().st_mode
            == (file.parent / {"model": "config", "state": "state"}[file.stem]).with_suffix(".json").stat().st_mode
        )
