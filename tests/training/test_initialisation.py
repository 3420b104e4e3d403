"""Starts from another checkpoint or from ImageNet, and frozen parts."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trisep.checkpoints.format import save_model
from trisep.checkpoints.registry import available_models
from trisep.errors import CheckpointError, ConfigError
from trisep.media.files import sha256_of
from trisep.models import clipsep, labelsep, sound_of_pixels
from trisep.training.initialisation import find_start, freeze, load_fitting, start_entry
from trisep.types import SignalSettings


@pytest.fixture
def start(tmp_path: Path) -> Path:
    card = {"signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0"}
    save_model(tmp_path / "start", clipsep.Config.tiny().build(), model_name="clipsep", card=card)
    return tmp_path / "start"


def test_another_model_takes_the_parts_that_it_shares(start: Path) -> None:
    network = replace(labelsep.Config.tiny(), embedding_dim=6).build()
    own = network.query_projection.weight.clone()
    assert load_fitting(network, start).endswith("parameters; drawn at random: label_embeddings, query_projection")
    again = labelsep.Config.tiny().build()
    load_fitting(again, start)
    assert all(torch.equal(value, again.unet.state_dict()[name]) for name, value in network.unet.state_dict().items())
    assert torch.equal(network.query_projection.weight, own)


def test_a_start_is_a_models_name_a_folder_or_a_file(start: Path, tmp_path: Path) -> None:
    assert find_start(str(start)) == start and find_start("vast") == available_models()["vast"]
    (tmp_path / "resnet18-f37072fd.pth").touch()
    assert find_start(str(tmp_path / "resnet18-f37072fd.pth")) == tmp_path / "resnet18-f37072fd.pth"
    with pytest.raises(CheckpointError, match="unknown model 'vats': expected a checkpoint folder"):
        find_start("vats")


def test_a_start_of_which_nothing_fits_is_refused(start: Path, tmp_path: Path) -> None:
    wider = replace(
        clipsep.Config.tiny(),
        embedding_dim=9,
        unet=replace(clipsep.Config.tiny().unet, base_width=5, max_width=10, out_channels=3),
    )
    with pytest.raises(CheckpointError, match="nothing in this clipsep fits the network that is to be trained"):
        load_fitting(wider.build(), start)
    save_file({"a": torch.zeros(1)}, tmp_path / "some.safetensors")
    with pytest.raises(CheckpointError, match="a single file only starts an image network, which"):
        load_fitting(wider.build(), tmp_path / "some.safetensors")


def test_an_imagenet_file_starts_the_image_network(tmp_path: Path) -> None:
    published, network = (sound_of_pixels.Config.tiny().build() for _ in range(2))
    save_file(
        {**published.image_network.state_dict(), "fc.weight": torch.zeros(3, 2)}, tmp_path / "resnet18.safetensors"
    )
    assert load_fitting(network, tmp_path / "resnet18.safetensors") == "ImageNet weights into image_network"
    assert torch.equal(network.image_network.conv1.weight, published.image_network.conv1.weight)


def test_what_a_run_was_started_from_is_told_back_to_the_first_start(start: Path, tmp_path: Path) -> None:
    digest = sha256_of(start / "model.safetensors")
    first = {"name": "start", "model": "clipsep", "recipe": None, "step": None, "weights_sha256": digest}
    assert start_entry(start) == first
    facts = {"signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0"}
    card = {**facts, "recipe": {"name": "clipsep-avmini"}, "step": 7, "init": first}
    save_model(tmp_path / "second", clipsep.Config.tiny().build(), model_name="clipsep", card=card)
    digest = sha256_of(tmp_path / "second" / "model.safetensors")
    known = {"name": "second", "model": "clipsep", "recipe": "clipsep-avmini", "step": 7, "weights_sha256": digest}
    assert start_entry(tmp_path / "second") == {**known, "init": first}
    save_file({"a": torch.zeros(1)}, tmp_path / "resnet18.safetensors")
    published = tmp_path / "resnet18.safetensors"
    assert start_entry(published) == {"name": "resnet18.safetensors", "weights_sha256": sha256_of(published)}
    (start / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="should hold config.json and model.safetensors"):
        start_entry(start)


def test_frozen_parts_have_no_gradient_and_keep_their_statistics() -> None:
    network = clipsep.Config.tiny().build()
    freeze(network, ("unet.down", "fusion.scale"))
    still = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert still == {
        name for name, _ in network.named_parameters() if name.startswith("unet.down.") or name == "fusion.scale"
    }
    assert not network.unet.down.training and network.unet.up.training and network.training


def test_parts_that_are_not_there_and_nothing_left_to_train() -> None:
    with pytest.raises(
        ConfigError, match="training.frozen: the network has no part 'unet.dwn'; did you mean unet.down"
    ):
        freeze(clipsep.Config.tiny().build(), ("unet.dwn",))
    with pytest.raises(ConfigError, match="has no part 'zzz'; did you mean unet or query_projection or fusion"):
        freeze(clipsep.Config.tiny().build(), ("zzz",))
    with pytest.raises(ConfigError, match="nothing is left to train"):
        freeze(clipsep.Config.tiny().build(), ("unet", "query_projection", "fusion"))
