"""Kernels that stay in 8 bits in memory, and are single-precision numbers for as long as a layer reads them.

A separator reads each kernel once a segment, so all of them in single precision, four times as large, are seldom read.
This file knows no checkpoint.
"""

from functools import cache

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

_VALUES, _SCALE = "packed_kernel", "packed_scale"


def keep_packed(layer: nn.Module, values: Int8[Tensor, "_ _ k k"], scale: Float[Tensor, "_ 1 1 1"]) -> None:
    """Replace the parameter `weight` of a layer by `values * scale`, which is computed whenever it is read.

    The kernel is laid out in memory as the parameter is. It can no longer be trained or saved.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor) and values.shape == weight.shape
    laid_out = torch.empty_strided(weight.shape, weight.stride(), dtype=torch.int8, device=weight.device).copy_(values)
    del layer.weight
    layer.register_buffer(_VALUES, laid_out)
    layer.register_buffer(_SCALE, scale.to(weight.device))
    layer.__class__ = _packed(type(layer))  # type: ignore[arg-type]  # mypy takes a class of modules for unhashable


@cache
def _packed(kind: type[nn.Module]) -> type[nn.Module]:
    """Return a class of layers that differs in where its weight comes from."""
    return type(f"Packed{kind.__name__}", (kind,), {"weight": property(_unpacked)})


def _unpacked(layer: nn.Module) -> Float[Tensor, "_ _ k k"]:
    """Compute the kernel."""
    values, scale = layer.get_buffer(_VALUES), layer.get_buffer(_SCALE)
    kernel = torch.empty_strided(values.shape, values.stride(), dtype=scale.dtype, device=scale.device)
    return torch.mul(values, scale, out=kernel)
