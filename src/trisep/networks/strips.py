"""Large maps in strips of rows, so that what lies between two layers never exists as a whole.

A convolution reads only neighbouring rows, and a few rows of a map with many frames lie together in memory and fit the
cache of a processor. The functions of this file say where the strips lie and give the rows that one of them needs. They
serve separation alone: training keeps what lies between for its gradients, and an export has sizes that are not known.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

_STRIP_VALUES = 1 << 19
"""About how many numbers of a map one strip has: 2 MB."""


def strips_of(x: Float[Tensor, "B C H W"]) -> list[tuple[int, int]]:
    """Return the first row of each strip of a map and the row behind its last; a single strip where none are needed.

    All but the last strip have an even number of rows. Only maps on a processor are cut, in PyTorch's inference mode.
    """
    height = x.shape[2]
    if x.device.type != "cpu" or not torch.is_inference_mode_enabled():
        return [(0, height)]
    step = max(2, _STRIP_VALUES * height // (2 * max(1, x.numel())) * 2)
    return [(top, min(top + step, height)) for top in range(0, height, step)]


def activated_rows(
    x: Float[Tensor, "B C H W"], top: int, bottom: int, activation: Callable[[Tensor], Tensor]
) -> Float[Tensor, "B C h W"]:
    """Return the rows `top` to `bottom` of a map, activated, with zeros where they lie beyond it."""
    inside = activation(x[:, :, max(0, top) : bottom])
    above, below = max(0, -top), max(0, bottom - x.shape[2])
    return torch.nn.functional.pad(inside, (0, 0, above, below)) if above or below else inside


def joined_rows(strips: Iterable[Float[Tensor, "B C h W"]], num_rows: int) -> Float[Tensor, "B C H W"]:
    """Return strips of rows as one map, which is laid out in memory as they are."""
    result: Tensor | None = None
    top = 0
    for strip in strips:
        if result is None:
            shape = (*strip.shape[:2], num_rows, strip.shape[3])
            is_last = strip.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if is_last else torch.contiguous_format
            result = torch.empty(shape, dtype=strip.dtype, device=strip.device, memory_format=layout)
        result[:, :, top : top + strip.shape[2]] = strip
        top += strip.shape[2]
    assert result is not None and top == num_rows
    return result
