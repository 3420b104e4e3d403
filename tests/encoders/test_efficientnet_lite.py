"""The image network of `lite`: its size, its padding, its folded normalisation, and the order of its weights."""

import pytest
import torch

from trisep.encoders.efficientnet_lite import EfficientNetLite0, SamePad, preprocess


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0().eval().requires_grad_(False)


def test_it_has_the_published_number_of_parameters(network: EfficientNetLite0) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96)])
def test_a_side_becomes_a_32nd(network: EfficientNetLite0, height: int, width: int) -> None:
    assert network(torch.randn(1, 3, height, width)).shape == (1, 1280, height // 32, width // 32)


def test_the_classifier_is_linear_so_that_the_mean_of_locations_is_the_whole(network: EfficientNetLite0) -> None:
    features = network(torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0)))
    pooled = network.classifier(features.mean(dim=(2, 3)))
    located = network.classifier(features.permute(0, 2, 3, 1))
    torch.testing.assert_close(located.mean(dim=(1, 2)), pooled)


def test_folding_the_normalisation_changes_nothing() -> None:
    torch.manual_seed(1)
    network = EfficientNetLite0()
    network(torch.randn(4, 3, 32, 32))  # moves the running statistics away from their start
    network.eval().requires_grad_(False)
    image = torch.randn(1, 3, 64, 64)
    before = network(image)
    network.fold_batch_norm()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(network(image), before, rtol=1e-3, atol=1e-4)


def test_published_weights_are_taken_in_their_order(network: EfficientNetLite0) -> None:
    state = {f"theirs.{index}": value + 1 for index, value in enumerate(network.state_dict().values())}
    other = EfficientNetLite0()
    other.load_published(state)
    assert all(torch.equal(value, state[f"theirs.{index}"]) for index, value in enumerate(other.state_dict().values()))
    del state["theirs.0"]
    with pytest.raises(ValueError, match="expected .* tensors, got"):
        other.load_published(state)


def test_padding_is_tensorflows_and_pixels_are_centred() -> None:
    assert SamePad(3, 2)(torch.ones(1, 1, 2, 2))[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert SamePad(5, 1)(torch.ones(1, 1, 1, 1)).shape == (1, 1, 5, 5)
    assert preprocess(torch.tensor([127.0, 255.0, -1.0]).view(1, 3, 1, 1)).flatten().tolist() == [0, 1, -1]
