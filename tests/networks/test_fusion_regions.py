"""Masks of regions however they are cut into chunks, and what that costs."""

import pytest
import torch
from conditioned_unet import conditioned_unet
from tiled_decoding import decode_tiled
from torch import nn

from trisep.errors import ConfigError
from trisep.networks.fusion import SplitDecoder, summed_masks


def test_a_decoder_on_batch_statistics_is_refused_and_a_frozen_one_is_not() -> None:
    unet = conditioned_unet("transposed", "batch").train()
    maps, regions = unet.encode(torch.randn(2, 1, 256, 8)), torch.randn(2, 2, 3, 4)
    with pytest.raises(ConfigError, match="unet.normalization: .* set it to 'channel'"):
        summed_masks(SplitDecoder(unet, maps), regions, 1)
    for layer in unet.up.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    assert summed_masks(SplitDecoder(unet, maps), regions, 1).shape == (2, 2, 256, 8)


@pytest.mark.parametrize("num_at_once", [1, 8, 1000])
def test_the_sum_over_regions_is_the_sum_however_it_is_cut(num_at_once: int) -> None:
    unet = conditioned_unet("transposed", "channel").train()
    picture, regions = torch.randn(2, 1, 256, 8), torch.randn(2, 2, 5, 4)
    maps = unet.encode(picture)
    expected = decode_tiled(unet, maps, regions.flatten(1, 2)).squeeze(2).sigmoid().unflatten(1, (2, 5)).sum(dim=2)
    masks = summed_masks(SplitDecoder(unet, maps), regions, num_at_once)
    torch.testing.assert_close(masks, expected, rtol=1e-5, atol=1e-5)
    assert masks.max() > 1
    gradients = [
        torch.autograd.grad(one.square().sum(), list(unet.parameters()), retain_graph=True) for one in (masks, expected)
    ]
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize(("allowed", "at_once"), [(1, 1), (11, 1), (12, 2), (29, 4), (30, 5), (1000, 5)])
def test_no_more_regions_than_allowed_are_decoded_at_once_but_one_of_each_query(allowed: int, at_once: int) -> None:
    unet, sizes = conditioned_unet("transposed", "channel"), []
    maps, regions = unet.encode(torch.randn(3, 1, 256, 8)), torch.randn(3, 2, 5, 4)

    class Counting(SplitDecoder):
        def __call__(self, vectors: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            sizes.append(vectors.shape[:2].numel())
            return super().__call__(vectors)

    with torch.inference_mode():
        summed_masks(Counting(unet, maps), regions, allowed)
    assert max(sizes) == 6 * at_once and sum(sizes) == 30


def test_chunks_keep_no_activations_for_the_backward_pass() -> None:
    unet = conditioned_unet("transposed", "channel").train()
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
    unet = conditioned_unet("transposed", "channel").train()
    picture, regions = torch.randn(2, 1, 256, 16), torch.randn(2, 1, 6, 4)
    expected = summed_masks(SplitDecoder(unet, unet.encode(picture)), regions, 6)
    unet = unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        masks = summed_masks(
            SplitDecoder(unet, unet.encode(picture.contiguous(memory_format=torch.channels_last))), regions, 6
        )
    assert masks.dtype == torch.float32
    assert (masks - expected).abs().mean() < 0.05
    masks.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in unet.parameters() if parameter.grad is not None)
