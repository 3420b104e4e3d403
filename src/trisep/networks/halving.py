"""Convolutions of stride 2: those that halve height and width, and transposed ones, which double them.

Both come whole and in strips of rows (`networks/strips.py`).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.networks.residual import fixed_normalization
from trisep.networks.strips import activated_rows, joined_rows, strips_of

_LEAST_CUT_FRAMES = 4
"""A map of fewer frames is halved whole."""


class HalvingConv(nn.Conv2d):
    """The strided convolution that halves height and width.

    An output that is one frame wide is computed as two frames, of which the second is dropped. That changes nothing but
    rounding, and keeps away from a fault of oneDNN (in torch 2.13): on processors with AMX, its bfloat16 convolution
    with an output of width 1 reads memory that was never written, and returns NaN or noise.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build a kernel of 4 × 4 without bias."""
        super().__init__(in_channels, out_channels, 4, stride=2, padding=1, bias=False)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """Compute the map of half the size."""
        return self.halved(input, self.weight, None)

    def normalized(
        self, input: Float[Tensor, "B C H W"], activation: nn.Module, normalization: nn.Module
    ) -> Float[Tensor, "B C2 H2 W2"]:
        """Compute the map of half the size, normalised, of what `activation` makes of a map.

        Fixed statistics become part of the kernel. A large map is read in strips of rows, so that the activated one is
        never there as a whole.
        """
        kernel, bias = self.weight, None
        if (fixed := fixed_normalization(normalization)) is not None:
            scale, bias = fixed
            kernel, normalization = self.weight * scale[:, None, None, None], nn.Identity()
        strips = strips_of(input)
        if len(strips) == 1 or input.shape[-1] < _LEAST_CUT_FRAMES:
            result: Tensor = normalization(self.halved(activation(input), kernel, bias))
            return result
        parts = (
            nn.functional.conv2d(
                activated_rows(input, top - 1, bottom + 1, activation), kernel, bias, stride=2, padding=(0, 1)
            )
            for top, bottom in strips
        )
        result = normalization(joined_rows(parts, input.shape[2] // 2))
        return result

    def halved(
        self, x: Float[Tensor, "B C H W"], kernel: Float[Tensor, "C2 C 4 4"], bias: Float[Tensor, "C2"] | None
    ) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply a kernel and a bias as this layer applies its own."""
        if x.shape[-1] // 2 != 1:
            return nn.functional.conv2d(x, kernel, bias, stride=2, padding=1)
        return nn.functional.conv2d(nn.functional.pad(x, (0, 2)), kernel, bias, stride=2, padding=1)[..., :1]


def double(
    x: Float[Tensor, "B C H W"], kernel: Float[Tensor, "C C2 4 4"], bias: Float[Tensor, "C2"] | None = None
) -> Float[Tensor, "B C2 H2 W2"]:
    """Apply a transposed convolution of stride 2, which doubles height and width.

    An input of one frame gets a second one of zeros, and the output is cropped, for the reason given in `HalvingConv`:
    the gradient of this function is its convolution.
    """
    if x.shape[-1] > 1:
        return nn.functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
    padded = nn.functional.pad(x, (0, 1))
    return nn.functional.conv_transpose2d(padded, kernel, bias, stride=2, padding=1)[..., :2]


def doubled_rows(
    x: Float[Tensor, "B C H W"],
    strip: tuple[int, int],
    kernel: Float[Tensor, "C C2 4 4"],
    bias: Float[Tensor, "C2"] | None = None,
) -> Float[Tensor, "B C2 h W2"]:
    """Compute the rows of a strip (even, even) of `double` of the ReLU of a map of at least two frames."""
    top, bottom = strip
    rows = activated_rows(x, top // 2 - 1, bottom // 2 + 1, torch.relu)
    return nn.functional.conv_transpose2d(rows, kernel, bias, stride=2, padding=(3, 1))


class DoublingConv(nn.ConvTranspose2d):
    """`double` as a layer."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        """Build a kernel of 4 × 4."""
        super().__init__(in_channels, out_channels, 4, stride=2, padding=1, bias=bias)

    def forward(self, input: Float[Tensor, "B C H W"], output_size: list[int] | None = None) -> Tensor:
        """Compute the map of twice the size."""
        return double(input, self.weight, self.bias)
