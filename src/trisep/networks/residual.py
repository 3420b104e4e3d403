"""A residual block for the levels of a U-Net, and normalisations whose statistics are fixed."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.networks.strips import activated_rows, strips_of


class ResidualBlock(nn.Module):
    """`x + N(W₂ ReLU(N(W₁ ReLU(x))))`: a 3×3 convolution to twice the channels, and a matrix back to them.

    The scale of the outer normalisation begins at 0 (Goyal et al. 2017), and with it the block as the identity: a
    network that is trained already can be trained on with more layers than before.
    """

    def __init__(self, channels: int) -> None:
        """Build the layers."""
        super().__init__()
        self.widen = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        self.widen_norm = nn.BatchNorm2d(2 * channels)
        self.narrow = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.narrow_norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.narrow_norm.weight)

    def forward(self, x: Float[Tensor, "B C H W"], *, in_place: bool = False) -> Float[Tensor, "B C H W"]:
        """Apply the block, to a large map in strips of rows: the hidden one has twice its size.

        With `in_place`, what a large map becomes may be written over it.
        """
        widen, widen_norm = _folded(self.widen, self.widen_norm)
        narrow, narrow_norm = _folded(self.narrow, self.narrow_norm)

        def change(rectified: Tensor, padding: tuple[int, int]) -> Tensor:
            """Compute what is added to x."""
            hidden = widen_norm(nn.functional.conv2d(rectified, *widen, padding=padding)).relu_()
            result: Tensor = narrow_norm(nn.functional.conv2d(hidden, *narrow))
            return result

        strips = strips_of(x)
        if len(strips) == 1 or self.widen_norm.training:
            return x + change(x.relu(), (1, 1))
        result, above = x if in_place else torch.empty_like(x), None
        for top, bottom in strips:
            rows = activated_rows(x, top - 1, bottom + 1, torch.relu)
            if in_place and above is not None:
                rows[:, :, :1] = above  # as it was before it was written over
            above = x[:, :, bottom - 1 : bottom].relu()
            torch.add(x[:, :, top:bottom], change(rows, (0, 1)), out=result[:, :, top:bottom])
        return result


def _folded(
    convolution: nn.Conv2d, normalization: nn.BatchNorm2d
) -> tuple[tuple[Float[Tensor, "_ _ k k"], Float[Tensor, "_"] | None], nn.Module]:
    """Return kernel and bias, of which fixed statistics become a part, and the normalisation that comes after them."""
    if (fixed := fixed_normalization(normalization)) is None:
        return (convolution.weight, None), normalization
    scale, shift = fixed
    return (convolution.weight * scale[:, None, None, None], shift), nn.Identity()


def fixed_normalization(layer: nn.Module) -> tuple[Float[Tensor, "C"], Float[Tensor, "C"]] | None:
    """Return scale and shift of a batch normalisation whose statistics are fixed (eval mode), None for other layers."""
    if not isinstance(layer, nn.BatchNorm2d) or layer.training or layer.running_mean is None:
        return None
    assert layer.running_var is not None
    scale = layer.weight * (layer.running_var + layer.eps).rsqrt()
    return scale, layer.bias - layer.running_mean * scale
