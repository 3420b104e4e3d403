"""A residual block for the levels of a U-Net, and normalisations whose statistics are fixed."""

from jaxtyping import Float
from torch import Tensor, nn


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

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Apply the block."""
        hidden = _normalized(self.widen, self.widen_norm, x.relu()).relu_()
        return x + _normalized(self.narrow, self.narrow_norm, hidden)


def _normalized(convolution: nn.Conv2d, normalization: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Convolve and normalise; fixed statistics become part of the kernel."""
    if (fixed := fixed_normalization(normalization)) is None:
        result: Tensor = normalization(convolution(x))
        return result
    scale, shift = fixed
    kernel = convolution.weight * scale[:, None, None, None]
    return nn.functional.conv2d(x, kernel, shift, padding=convolution.padding)


def fixed_normalization(layer: nn.Module) -> tuple[Float[Tensor, "C"], Float[Tensor, "C"]] | None:
    """Return scale and shift of a batch normalisation whose statistics are fixed (eval mode), None for other layers."""
    if not isinstance(layer, nn.BatchNorm2d) or layer.training or layer.running_mean is None:
        return None
    assert layer.running_var is not None
    scale = layer.weight * (layer.running_var + layer.eps).rsqrt()
    return scale, layer.bias - layer.running_mean * scale
