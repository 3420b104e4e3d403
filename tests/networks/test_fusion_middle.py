"""Middle fusion: split as good as tiled, in value and gradient."""

import pytest
import torch
from conditioned_unet import conditioned_unet
from tiled_decoding import decode_tiled

from trisep.networks.audio_unet import AudioUNet
from trisep.networks.fusion import SplitDecoder

SHAPES = [(1, 1, 8), (2, 3, 16)]
"""Mixtures, vectors of each, frames."""


def results(
    unet: AudioUNet, picture: torch.Tensor, vectors: torch.Tensor, weights: torch.Tensor, *, split: bool
) -> dict[str, torch.Tensor]:
    """Sums of maps, running statistics, and the gradients of a loss that weighs every bin differently, for everything
    that can have one.
    """
    unet.zero_grad()
    state = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    picture, vectors, weights = (one.clone().requires_grad_() for one in (picture, vectors, weights))
    maps = unet.encode(picture)
    if split:
        decoded = SplitDecoder(unet, maps)(vectors, weights)
    else:
        decoded = (decode_tiled(unet, maps, vectors) * weights[..., None, None]).sum(dim=2)
    weight = torch.randn(decoded.shape, generator=torch.Generator().manual_seed(5)).to(decoded)
    (decoded.sigmoid() * weight).sum().backward()
    gradients = {name: parameter.grad for name, parameter in unet.named_parameters()}
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients.values())
    statistics = {name: tensor.clone() for name, tensor in unet.state_dict().items() if "running" in name}
    unet.load_state_dict(state)
    inputs = {"picture": picture.grad, "vectors": vectors.grad, "weights": weights.grad}
    return {"decoded": decoded.detach(), **inputs, **gradients, **statistics}  # type: ignore[dict-item]


@pytest.mark.parametrize(("batch", "num_vectors", "num_frames"), SHAPES)
@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
@pytest.mark.parametrize(
    ("normalization", "train"), [("batch", False), ("batch", True), ("channel", False), ("channel", True)]
)
@pytest.mark.parametrize("num_outputs", [1, 4])
def test_split_equals_tiled_in_value_and_in_every_gradient(
    num_outputs: int, upsampling: str, normalization: str, train: bool, batch: int, num_vectors: int, num_frames: int
) -> None:
    unet = conditioned_unet(upsampling, normalization, num_outputs=num_outputs).train(train)
    picture, vectors = torch.randn(batch, 1, 256, num_frames), torch.randn(batch, num_vectors, 4)
    weights = torch.randn(batch, num_vectors, num_outputs)
    for dtype, tolerance in ((torch.float32, 3e-5), (torch.float64, 1e-12)):
        inputs = [one.to(dtype) for one in (picture, vectors, weights)]
        ways = [results(unet.to(dtype), *inputs, split=split) for split in (True, False)]
        assert ways[0]["decoded"].shape == (batch, num_vectors, 256, num_frames)
        for name, expected in ways[1].items():
            torch.testing.assert_close(
                ways[0][name], expected, rtol=0, atol=tolerance * max(1.0, float(expected.abs().max())), msg=name
            )


def test_it_tells_whether_calls_depend_on_their_batch() -> None:
    unet = conditioned_unet("transposed", "batch").train()
    maps = unet.encode(torch.randn(2, 1, 256, 8))
    assert SplitDecoder(unet, maps).on_batch_statistics
    for layer in unet.up.modules():
        layer.training = False
    assert not SplitDecoder(unet, maps).on_batch_statistics
