"""Three steps of the decoder in training whose gradients are written by hand, for processors.

Each of them equals what automatic differentiation makes of the plain operations, up to rounding, with fewer passes over
the maps, which are what a step of training spends its time on where convolutions are fast. The plain operations stay in
use in separation, on other devices and in export. Nothing here knows queries or layers.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_FEW = 4
"""So many maps are added up one by one: torch sums over an axis between others many times more slowly."""


def pays(x: Tensor) -> bool:
    """Return whether the functions of this file are faster than plain operations: on a processor, with gradients."""
    return x.device.type == "cpu" and torch.is_grad_enabled()


def with_shared(x: Float[Tensor, "R C H W"], shared: Float[Tensor, "B 1 C H W"]) -> Float[Tensor, "R C H W"]:
    """Add to each of R = B · Q maps the one that all Q maps of its mixture share."""
    result: Tensor = _WithShared.apply(x, shared)  # type: ignore[no-untyped-call]
    return result


class _WithShared(torch.autograd.Function):
    """`with_shared`; the gradient of the shared map is the sum over its Q maps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shared: Tensor) -> Tensor:
        """Add."""
        ctx.num_mixtures = len(shared)
        result = torch.empty_like(x)
        torch.add(x.view(len(shared), -1, *x.shape[1:]), shared, out=result.view(len(shared), -1, *x.shape[1:]))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Sum over the maps of each mixture."""
        by_mixture = gradient.reshape(ctx.num_mixtures, -1, *gradient.shape[1:])
        if by_mixture.shape[1] > _FEW:
            return gradient, by_mixture.sum(dim=1, keepdim=True)
        first, *others = by_mixture.unbind(1)
        for other in others:
            first = first + other
        return gradient, first.unsqueeze(1)


def modulated_relu(
    x: Float[Tensor, "R C H W"], norm: nn.BatchNorm2d, scale: Float[Tensor, "R C"], shift: Float[Tensor, "R C"]
) -> Float[Tensor, "R C H W"]:
    """Compute `relu((1 + scale) · norm(x) + shift)` for a batch normalisation in training, whose statistics it updates.

    Each row has a scale and a shift of its own for every channel.
    """
    assert norm.training and norm.num_batches_tracked is not None and norm.running_mean is not None
    norm.num_batches_tracked.add_(1)
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    mean, variance = torch.batch_norm_update_stats(x.detach(), norm.running_mean, norm.running_var, momentum)
    given = x, norm.weight, norm.bias, scale, shift, mean, (variance + norm.eps).rsqrt()
    result: Tensor = _ModulatedReLU.apply(*given)  # type: ignore[no-untyped-call]
    return result


class _ModulatedReLU(torch.autograd.Function):
    """`modulated_relu` with given mean and inverse deviation of each channel."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, inverse: Tensor
    ) -> Tensor:
        """One multiplication and one addition for each channel of each row, then the ReLU."""
        factor = 1 + scale.to(weight.dtype)
        gain = weight * inverse * factor
        y = _affine(x, gain, bias * factor + shift.to(weight.dtype) - mean * gain).relu_()
        ctx.save_for_backward(x, y, weight, bias, scale, shift, mean, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Differentiate, the statistics included (Ioffe and Szegedy 2015, section 3)."""
        x, y, weight, bias, scale, shift, mean, inverse = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        by_normalized, total = _row_sums(gradient, x, weight, mean, inverse)
        factor = 1 + scale.to(weight.dtype)
        to_weight, to_bias = (factor * by_normalized).sum(dim=0), (factor * total).sum(dim=0)
        count = x.numel() // x.shape[1]
        slope = -weight * inverse.square() * to_weight / count
        through_statistics = -weight * inverse * to_bias / count - slope * mean
        to_x = _affine(gradient, weight * inverse * factor, torch.zeros_like(factor))
        to_x += _affine(x, slope.expand_as(factor), through_statistics.expand_as(factor))
        to_scale = weight * by_normalized + bias * total
        return to_x, to_weight, to_bias, to_scale.to(scale.dtype), total.to(shift.dtype), None, None


def _affine(
    x: Float[Tensor, "R C H W"], gain: Float[Tensor, "R C"], offset: Float[Tensor, "R C"]
) -> Float[Tensor, "R C H W"]:
    """Compute `gain · x + offset` with numbers of their own for each row, in one pass and in their precision.

    That is a batch normalisation with mean 0 and variance 1, whose code for processors is faster than `addcmul`.
    """
    result = torch.empty_like(x)
    zeros, ones, nothing = torch.zeros_like(gain[0]), torch.ones_like(gain[0]), gain.new_empty(0)
    for row in range(len(x)):
        torch.ops.aten.native_batch_norm.out(
            x[row : row + 1],
            gain[row],
            offset[row],
            zeros,
            ones,
            False,
            0.0,
            0.0,
            out=result[row : row + 1],
            save_mean=nothing,
            save_invstd=nothing.clone(),
        )
    return result


def _row_sums(
    gradient: Float[Tensor, "R C H W"],
    x: Float[Tensor, "R C H W"],
    weight: Float[Tensor, "C"],
    mean: Float[Tensor, "C"],
    inverse: Float[Tensor, "C"],
) -> tuple[Float[Tensor, "R C"], Float[Tensor, "R C"]]:
    """Sum, over the bins of each row and channel, gradient · normalised x, and the gradient."""
    sums = [
        torch.ops.aten.native_batch_norm_backward(
            gradient[row : row + 1],
            x[row : row + 1],
            weight,
            None,
            None,
            mean,
            inverse,
            True,
            0.0,
            [False, True, True],
        )[1:]
        for row in range(len(x))
    ]
    by_normalized, total = (torch.stack(part) for part in zip(*sums, strict=True))
    return by_normalized, total


def summed_transposed(*inputs_and_kernels: Tensor) -> Float[Tensor, "R H2 W2"]:
    """Sum transposed convolutions of stride 2 with one output channel, in float32 at least.

    The arguments are pairs of an input [B, C, H, W] and Q kernels for each of its rows, [B, Q, C, 4, 4]. B and C may
    differ from pair to pair, R = B · Q must not. The kernels are brought to the inputs' precision.
    """
    result: Tensor = _SummedTransposed.apply(*inputs_and_kernels)  # type: ignore[no-untyped-call]
    return result


class _SummedTransposed(torch.autograd.Function):
    """`summed_transposed`: products of every bin with every tap, added up where they belong."""

    @staticmethod
    def forward(ctx: Any, *inputs_and_kernels: Tensor) -> Tensor:
        """Multiply, with taps before bins, as the fold reads them."""
        ctx.save_for_backward(*inputs_and_kernels)
        taps = None
        for x, kernels in _pairs(inputs_and_kernels):
            products = torch.bmm(_taps_first(kernels, x.dtype), x.flatten(2))
            products = products.view(kernels.shape[0] * kernels.shape[1], 16, -1)
            taps = products if taps is None else taps.add_(products)
        assert taps is not None
        height, width = inputs_and_kernels[0].shape[2:]
        taps = taps.to(torch.promote_types(taps.dtype, torch.float32))
        return nn.functional.fold(taps, (2 * height, 2 * width), kernel_size=4, stride=2, padding=1).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Read every bin's 16 taps of the gradient; the gradients of the inputs lie channels last, as the inputs do."""
        gradients: list[Tensor | None] = []
        pairs = _pairs(ctx.saved_tensors)
        taps = _unfolded(gradient.to(pairs[0][0].dtype))
        for x, kernels in pairs:
            size = kernels.shape[1] * 16
            own = taps.view(len(x), size, -1)
            to_x = torch.bmm(own.transpose(1, 2), _taps_first(kernels, x.dtype))
            gradients.append(to_x.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2))
            to_kernels = torch.bmm(own, x.permute(0, 2, 3, 1).flatten(1, 2)).view(*kernels.shape[:2], 4, 4, -1)
            gradients.append(to_kernels.permute(0, 1, 4, 2, 3).to(kernels.dtype))
        return tuple(gradients)


def _pairs(tensors: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
    """Group inputs with their kernels."""
    return list(zip(tensors[::2], tensors[1::2], strict=True))


def _taps_first(kernels: Float[Tensor, "B Q C 4 4"], dtype: torch.dtype) -> Float[Tensor, "B Q16 C"]:
    """Lay out kernels as matrices from channels to taps."""
    return kernels.flatten(3).transpose(2, 3).flatten(1, 2).to(dtype)


def _unfolded(x: Float[Tensor, "R H2 W2"]) -> Float[Tensor, "R 16 HW"]:
    """Read the 4 × 4 windows of stride 2 around every second bin, zeros beyond the border."""
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    size, (rows, frames) = padded.shape[-1], (x.shape[1] // 2, x.shape[2] // 2)
    strides = padded.stride(0), size, 1, 2 * size, 2
    return padded.as_strided((len(x), 4, 4, rows, frames), strides).reshape(len(x), 16, rows * frames)
