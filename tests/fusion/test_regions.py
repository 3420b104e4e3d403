import pytest
import torch
from torch import nn

from trisep.errors import ConfigError
from trisep.fusion.middle import condition_bottleneck
from trisep.fusion.regions import SplitDecoder, summed_masks
from trisep.networks.audio_unet import AudioUNet, UNetConfig

SHAPES = [(1, 1, 8), (2, 3, 16)]
"""Mixtures, vectors of each, frames."""


def network(upsampling: str, normalization: str) -> AudioUNet:
    """A conditioned U-Net in evaluation mode, its decoder's normalisations far from doing nothing."""
    torch.manual_seed(0)
    widths = {"num_levels": 3, "base_width": 8, "max_width": 12, "out_channels": 1}
    unet = AudioUNet(UNetConfig(**widths, upsampling=upsampling, normalization=normalization), condition_channels=4).eval()  # type: ignore[arg-type]
    for name, tensor in unet.up.state_dict(keep_vars=True).items():
        if "running_var" in name or (tensor.dim() == 1 and "weight" in name):
            nn.init.uniform_(tensor, 0.5, 2)
        elif tensor.dim() == 1:
            nn.init.normal_(tensor)
    return unet


def naive(unet: AudioUNet, maps: list[torch.Tensor], vectors: torch.Tensor) -> torch.Tensor:
    """Tile, concatenate, decode every vector in full."""
    return unet.decode(condition_bottleneck(maps, vectors)).unflatten(0, vectors.shape[:2]).squeeze(2)


def results(unet: AudioUNet, picture: torch.Tensor, vectors: torch.Tensor, *, split: bool) -> dict[str, torch.Tensor]:
    """Logits, and the gradients of a loss that weighs every bin differently, for everything that can have one."""
    unet.zero_grad()
    picture, vectors = picture.clone().requires_grad_(), vectors.clone().requires_grad_()
    maps = unet.encode(picture)
    logits = SplitDecoder(unet, maps)(vectors) if split else naive(unet, maps, vectors)
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(5)).to(logits)
    (logits.sigmoid() * weight).sum().backward()
    gradients = {name: parameter.grad for name, parameter in unet.named_parameters()}
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients.values())
    return {"logits": logits.detach(), "picture": picture.grad, "vectors": vectors.grad, **gradients}  # type: ignore[dict-item]


@pytest.mark.parametrize(("batch", "num_vectors", "num_frames"), SHAPES)
@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
@pytest.mark.parametrize(("normalization", "train"), [("batch", False), ("channel", False), ("channel", True)])
def test_split_equals_naive_in_value_and_in_every_gradient(
    upsampling: str, normalization: str, train: bool, batch: int, num_vectors: int, num_frames: int
) -> None:
    unet = network(upsampling, normalization).train(train)
    picture, vectors = torch.randn(batch, 1, 256, num_frames), torch.randn(batch, num_vectors, 4)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        ways = [results(unet.to(dtype), picture.to(dtype), vectors.to(dtype), split=split) for split in (True, False)]
        for name, expected in ways[1].items():
            torch.testing.assert_close(ways[0][name], expected, rtol=0, atol=tolerance * max(1.0, float(expected.abs().max())), msg=name)


def test_a_decoder_on_batch_statistics_is_refused_and_a_frozen_one_is_not() -> None:
    unet = network("transposed", "batch").train()
    maps = unet.encode(torch.randn(2, 1, 256, 8))
    with pytest.raises(ConfigError, match="unet.normalization: .* set it to 'channel'"):
        SplitDecoder(unet, maps)
    for layer in unet.up.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    assert SplitDecoder(unet, maps)(torch.randn(2, 3, 4)).shape == (2, 3, 256, 8)


@pytest.mark.parametrize("num_at_once", [1, 8, 1000])
def test_the_sum_over_regions_is_the_sum_however_it_is_cut(num_at_once: int) -> None:
    unet = network("transposed", "channel").train()
    picture, regions = torch.randn(2, 1, 256, 8), torch.randn(2, 2, 5, 4)
    maps = unet.encode(picture)
    expected = naive(unet, maps, regions.flatten(1, 2)).sigmoid().unflatten(1, (2, 5)).sum(dim=2)
    masks = summed_masks(SplitDecoder(unet, maps), regions, num_at_once)
    torch.testing.assert_close(masks, expected, rtol=1e-5, atol=1e-5)
    assert masks.max() > 1
    gradients = [torch.autograd.grad(one.square().sum(), list(unet.parameters()), retain_graph=True) for one in (masks, expected)]
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_chunks_keep_no_activations_for_the_backward_pass() -> None:
    unet = network("transposed", "channel").train()
    maps, regions = unet.encode(torch.randn(1, 1, 256, 16)), torch.randn(1, 1, 24, 4)

    def saved_values(num_at_once: int) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            kept = summed_masks(SplitDecoder(unet, maps), regions, num_at_once)
        assert kept.requires_grad
        return sum(sizes.values())

    assert saved_values(4) < saved_values(24) / 5


def test_it_runs_in_half_precision_with_channels_last() -> None:
    unet = network("transposed", "channel").train()
    picture, regions = torch.randn(2, 1, 256, 16), torch.randn(2, 1, 6, 4)
    expected = summed_masks(SplitDecoder(unet, unet.encode(picture)), regions, 6)
    unet = unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        masks = summed_masks(SplitDecoder(unet, unet.encode(picture.contiguous(memory_format=torch.channels_last))), regions, 6)
    assert masks.dtype == torch.float32
    assert (masks - expected).abs().mean() < 0.05
    masks.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in unet.parameters() if parameter.grad is not None)
