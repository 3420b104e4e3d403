"""EfficientNet-Lite0 (Tan & Le 2019) as a dense feature extractor; it has no squeeze-excitation and uses ReLU6.

The definition is TensorFlow's: asymmetric `SAME` padding where the stride is 2, batch-norm ε 1e-3. This file
knows no class names.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, channels, repeats, stride and kernel of each stage."""


class SamePad(nn.Module):
    """TensorFlow's `SAME` padding for even inputs: an odd amount puts its larger half at the right and bottom."""

    def __init__(self, kernel: int, stride: int) -> None:
        """Compute the padding for a convolution of this kernel and stride."""
        super().__init__()
        total = kernel - stride
        self.amount = (total // 2, total - total // 2) * 2

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H2 W2"]:
        """Pad with zeros."""
        return nn.functional.pad(x, self.amount)


def _convolution(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, activate: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [SamePad(kernel, stride)] if kernel > 1 else []
    layers += [
        nn.Conv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=1e-3),
    ]
    if activate:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """Expand, depth-wise convolution, project; a shortcut where shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int) -> None:
        """Build the layers."""
        super().__init__()
        hidden = in_channels * expansion
        layers = [_convolution(in_channels, hidden)] if expansion > 1 else []
        layers += [
            _convolution(hidden, hidden, kernel, stride, groups=hidden),
            _convolution(hidden, out_channels, activate=False),
        ]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply the block."""
        result: Tensor = self.layers(x)
        return x + result if self.shortcut else result


class EfficientNetLite0(nn.Module):
    """Image [B, 3, H, W] → features [B, 1280, H/32, W/32]; the input is RGB, `(x − 127)/128`, sides multiples of 32.

    `classifier` is linear.
    """

    def __init__(self) -> None:
        """Build the layers, in the order of the published file's keys."""
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, 32, 3, 2)]
        channels = 32
        for expansion, width, repeats, stride, kernel in _STAGES:
            for index in range(repeats):
                layers.append(InvertedResidual(channels, width, expansion, kernel, stride if index == 0 else 1))
                channels = width
        layers.append(_convolution(channels, 1280))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280 H2 W2"]:
        """Compute the features of every location; their mean through `classifier` gives the logits of the picture."""
        features: Tensor = self.features(image)
        return features

    def load_published(self, state: dict[str, Tensor]) -> None:
        """Copy the published weights: their keys stand in the same order as ours."""
        own = self.state_dict()
        if len(own) != len(state):
            raise ValueError(f"expected {len(own)} tensors, got {len(state)}")
        self.load_state_dict(dict(zip(own, state.values(), strict=True)))

    def fold_batch_norm(self) -> None:
        """Fold each normalisation into the convolution before it: the same function, a third faster on a CPU.

        This is only for a frozen network.
        """
        for module in self.modules():
            if isinstance(module, nn.Sequential):
                for index in range(len(module) - 1):
                    convolution, norm = module[index], module[index + 1]
                    if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                        module[index] = fuse_conv_bn_eval(convolution.eval(), norm.eval())
                        module[index + 1] = nn.Identity()


def preprocess(image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Scale pixels 0–255 to the range of the network."""
    return (image - 127) / 128
