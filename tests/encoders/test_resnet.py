"""ResNet-18 against transformers' own, its dilated form against the plain one, and the reading of ImageNet files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trisep.encoders.resnet import ResNet18, imagenet_normalise, load_imagenet, square_frames
from trisep.errors import CheckpointError


def with_statistics(network: torch.nn.Module) -> torch.nn.Module:
    """Random affine parts and running statistics, as if it had been trained, in evaluation mode."""
    generator = torch.Generator().manual_seed(5)
    for name, value in network.state_dict().items():
        if value.ndim == 1:
            low, high = (-0.3, 0.3) if name.endswith(("mean", "bias")) else (0.5, 1.5)
            value.uniform_(low, high, generator=generator)
    return network.eval()


def small(*, dilated: bool = False) -> ResNet18:
    torch.manual_seed(0)
    network = with_statistics(ResNet18(width=8, dilated=dilated))
    assert isinstance(network, ResNet18)
    return network


def pictures(side: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, side, side + 32, generator=torch.Generator().manual_seed(1))


def our_key(theirs: str) -> str:
    """Torchvision's name of a tensor of transformers' ResNet."""
    path, _, kind = theirs.rpartition(".")
    parts = path.split(".")
    if parts[0] == "embedder":
        return f"{'conv1' if parts[-1] == 'convolution' else 'bn1'}.{kind}"
    block = f"layer{int(parts[2]) + 1}.{parts[4]}"  # encoder.stages.STAGE.layers.BLOCK.…
    if parts[5] == "shortcut":
        return f"{block}.downsample.{0 if parts[-1] == 'convolution' else 1}.{kind}"
    return f"{block}.{'conv' if parts[-1] == 'convolution' else 'bn'}{int(parts[6]) + 1}.{kind}"


@pytest.mark.slow
def test_it_agrees_with_another_implementation() -> None:
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[2, 2, 2, 2], layer_type="basic")
    original = with_statistics(ResNetModel(config))
    network = small()
    network.load_state_dict({our_key(key): value for key, value in original.state_dict().items()})
    with torch.inference_mode():
        expected = original(pictures()).last_hidden_state
        features = network(pictures())
    assert features.shape == (2, 64, 2, 3) and expected.std() > 0.1
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)


def test_the_names_and_sizes_are_torchvisions() -> None:
    with torch.device("meta"):
        state = ResNet18(dilated=True).state_dict()
    assert len(state) == 120
    assert (
        sum(value.numel() for key, value in state.items() if key.endswith(("weight", "bias"))) == 11_689_512 - 513_000
    )
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.1.bias",
        "layer4.1.bn2.weight",
    } <= set(state)
    assert not any(key.startswith("layer1.0.downsample") for key in state)


def test_every_second_feature_of_the_dilated_network_is_one_of_the_plain_network() -> None:
    dilated, plain = small(dilated=True), small()
    dilated.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        dense, sparse = dilated(pictures()), plain(pictures())
    assert dense.shape == (2, 64, 4, 6)
    torch.testing.assert_close(dense[:, :, ::2, ::2], sparse, rtol=0, atol=1e-5)
    assert not torch.allclose(dense[:, :, 1::2, 1::2], sparse)


def test_an_imagenet_file_is_read_without_its_classifier_and_nothing_else_is_taken(tmp_path: Path) -> None:
    published = small()
    state = {
        key: value for key, value in published.state_dict().items() if not key.endswith("num_batches_tracked")
    }  # as in the old file
    state |= {"fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "resnet18.pth")
    torch.manual_seed(7)
    network = ResNet18(width=8).eval()
    load_imagenet(tmp_path / "resnet18.pth", network)
    assert torch.equal(network(pictures()), published(pictures()))
    torch.save({**state, "layer1.2.conv1.weight": torch.zeros(8, 8, 3, 3)}, tmp_path / "resnet34.pth")
    with pytest.raises(
        CheckpointError, match=r"resnet34\.pth: expected ImageNet weights of ResNet-18 \(.*layer1\.2\.conv1"
    ):
        load_imagenet(tmp_path / "resnet34.pth", network)
    torch.save(published, tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match=r"code\.pth: .*nothing in it was run"):
        load_imagenet(tmp_path / "code.pth", network)


def test_pictures_are_cut_square_and_normalised() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = (255, 0, 51)
    frames = square_frames([wide, np.asarray(Image.new("RGB", (7, 7), (255, 0, 51)))], side=10)
    assert frames.shape == (2, 3, 10, 10) and frames.dtype == torch.uint8
    assert torch.equal(frames[0], frames[1])
    expected = torch.tensor([(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225])
    torch.testing.assert_close(imagenet_normalise(frames)[1, :, 3, 4], expected)
