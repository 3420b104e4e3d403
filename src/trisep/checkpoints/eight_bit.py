"""Tensors of a shipped model in a quarter of their size: kernels as 8-bit integers with a scale, other floats as fp16.

A kernel of convolutions [I, O, h, w] keeps one scale for each index of its first axis, its largest magnitude over 127,
and is off by at most half a scale. What that changes is measured in docs/experiments/2026-11-27-eight-bit-weights.md.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from trisep.errors import CheckpointError

_SCALE = ".int8_scale"


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store kernels (four axes) as int8 beside their scale, other floats as fp16, and integers as they are."""
    packed = {}
    for key, value in tensors.items():
        if value.is_floating_point() and value.ndim == 4:
            scale = value.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12) / 127
            packed[key] = (value / scale).round().to(torch.int8)
            packed[key + _SCALE] = scale.float()
        else:
            packed[key] = value.half() if value.is_floating_point() else value
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all floats and kernels in single precision; tensors that were never packed are converted alike.

    Raises CheckpointError for an 8-bit kernel whose scale is missing or does not fit.
    """
    unpacked = {}
    for key, value in tensors.items():
        if key.endswith(_SCALE):
            continue
        if value.dtype != torch.int8:
            unpacked[key] = value.float() if value.is_floating_point() else value
            continue
        scale = tensors.get(key + _SCALE)
        if scale is None or scale.shape != (len(value), 1, 1, 1) or not scale.isfinite().all():
            raise CheckpointError(f"the 8-bit tensor {key} has no scale that fits it; get the file again")
        unpacked[key] = value.float() * scale
    return unpacked
