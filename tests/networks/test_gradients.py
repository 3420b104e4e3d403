"""Gradients written by hand are those of the plain operations."""

import pytest
import torch
from torch import Tensor, nn

from trisep.networks.gradients import modulated_relu, pays, summed_transposed, with_shared


def drawn(*shape: int, seed: int) -> Tensor:
    """Numbers in double precision that ask for gradients."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("num_queries", [1, 2, 6])
def test_a_shared_map_gets_the_sum_of_its_queries_gradients(num_queries: int) -> None:
    x, shared = drawn(2 * num_queries, 3, 2, 2, seed=0), drawn(2, 1, 3, 2, 2, seed=1)
    expected = torch.stack([x[row] + shared[row // num_queries, 0] for row in range(len(x))])
    torch.testing.assert_close(with_shared(x, shared), expected, rtol=0, atol=0)
    assert torch.autograd.gradcheck(with_shared, (x, shared))


def plain_modulation(x: Tensor, norm: nn.BatchNorm2d, scale: Tensor, shift: Tensor) -> Tensor:
    """The definition."""
    return ((1 + scale[:, :, None, None]) * norm(x) + shift[:, :, None, None]).relu()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_modulation_equals_its_definition_in_value_gradient_and_statistics(momentum: float | None) -> None:
    results = []
    for way in (modulated_relu, plain_modulation):
        norm = nn.BatchNorm2d(3, momentum=momentum).double()
        norm.weight.data, norm.bias.data = drawn(3, seed=2).detach(), drawn(3, seed=3).detach()
        inputs = [drawn(4, 3, 2, 5, seed=4), drawn(4, 3, seed=5), drawn(4, 3, seed=6)]
        for _ in range(2):
            y = way(inputs[0] * 2 + 1, norm, *inputs[1:])
        (y * drawn(4, 3, 2, 5, seed=7).detach()).sum().backward()
        gradients = [value.grad for value in (*inputs, norm.weight, norm.bias)]
        results.append([y, *gradients, norm.running_mean, norm.running_var, norm.num_batches_tracked])
    for by_us, plain in zip(*results, strict=True):
        torch.testing.assert_close(by_us, plain, rtol=0, atol=1e-12)


def test_modulation_in_bfloat16_stays_within_its_rounding_and_channels_last() -> None:
    x = drawn(4, 8, 16, 16, seed=0).float().contiguous(memory_format=torch.channels_last)
    scale, shift, gradient = drawn(4, 8, seed=1), drawn(4, 8, seed=2), drawn(4, 8, 16, 16, seed=3).detach()
    gradients = []
    for dtype, way in ((torch.bfloat16, modulated_relu), (torch.float32, plain_modulation)):
        leaf = x.detach().to(torch.bfloat16).to(dtype).requires_grad_()
        y = way(leaf, nn.BatchNorm2d(8), scale.float(), shift.float())
        assert y.is_contiguous(memory_format=torch.channels_last)
        (y.float() * gradient).sum().backward()
        assert leaf.grad is not None
        gradients.append((y.float(), leaf.grad.float()))
    for by_us, plain in zip(*gradients, strict=True):
        assert (by_us - plain).abs().max() < 0.02 * plain.abs().max()


def test_summed_transposed_convolutions_equal_the_layer_kernel_by_kernel() -> None:
    pairs = [drawn(4, 3, 2, 4, seed=0), drawn(4, 1, 3, 4, 4, seed=1), drawn(2, 5, 2, 4, seed=2)]
    pairs.append(drawn(2, 2, 5, 4, 4, seed=3))
    rows = [
        sum(
            nn.functional.conv_transpose2d(x[row * len(x) // 4][None], kernel[:, None], stride=2, padding=1)[0, 0]
            for x, kernel in ((pairs[0], pairs[1].flatten(0, 1)[row]), (pairs[2], pairs[3].flatten(0, 1)[row]))
        )
        for row in range(4)
    ]
    torch.testing.assert_close(summed_transposed(*pairs), torch.stack(rows), rtol=0, atol=1e-12)  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(summed_transposed, tuple(pairs))


def test_without_gradients_plain_operations_are_used() -> None:
    x = torch.zeros(1, 1, 1, 1)
    assert pays(x)
    with torch.no_grad():
        assert not pays(x)
