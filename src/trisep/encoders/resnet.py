"""ResNet-18 (He et al. 2016), also with its last stage dilated, as a dense feature extractor that can be trained.

State-dict keys are torchvision's, so that the usual ImageNet file (`resnet18-*.pth`) fits; the classifier
(`fc`) is left out. Dilation needs no weights of its own: one file serves both kinds. This file knows neither
sounds nor class names.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from trisep.encoders.clip import crop_centre
from trisep.encoders.tensor_archive import read_tensors
from trisep.errors import CheckpointError

_MEAN = (0.485, 0.456, 0.406)
_STANDARD_DEVIATION = (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, which is projected where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, dilations: tuple[int, int]) -> None:
        """Build the layers; `dilations` are those of the first and the second convolution."""
        super().__init__()
        first, second = dilations
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=first, dilation=first, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=second, dilation=second, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply the block."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.downsample(x))


class ResNet18(nn.Module):
    """Pictures (or spectrograms) [B, C, H, W] → features [B, 8·width, H/32, W/32] (sides rounded up), all ≥ 0.

    The input is normalised as `imagenet_normalise` does. Dilated, as in Sound of Pixels, the last stage does not stride
    but spreads its kernels (dilation 2 from its second 3×3 convolution on), and the features are [B, 8·width, H/16,
    W/16]: every second one of them is a feature of the plain network.
    """

    def __init__(self, *, width: int = 64, dilated: bool = False, in_channels: int = 3) -> None:
        """Build the layers; `width` is the number of channels of the first stage, 64 in ResNet-18.

        `in_channels` is 1 for a spectrogram, which no ImageNet file fits.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2, dilated=dilated)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as the original and torchvision start
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H2 W2"]:
        """Compute the features of every location after the last stage."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(images))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


def _stage(in_channels: int, out_channels: int, *, stride: int, dilated: bool = False) -> nn.Sequential:
    """Build two blocks; a dilated stage keeps the resolution of its input."""
    first, second = ((1, 2), (2, 2)) if dilated else ((1, 1), (1, 1))
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride=1 if dilated else stride, dilations=first),
        BasicBlock(out_channels, out_channels, stride=1, dilations=second),
    )


def load_imagenet(file: Path, network: ResNet18) -> None:
    """Copy the weights of an ImageNet checkpoint of torchvision's `resnet18` into `network`.

    Nothing in the file is run. Raises CheckpointError when it cannot be read as tensors or is of another network.
    """
    state = {key: value for key, value in read_tensors(file).items() if not key.startswith("fc.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"{file}: expected ImageNet weights of ResNet-18 ({reason}); give torchvision's resnet18-*.pth"
        ) from error


def imagenet_normalise(frames: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Scale RGB pixels 0–255 to zero mean and unit variance over ImageNet."""
    mean = torch.tensor(_MEAN, device=frames.device)[:, None, None]
    deviation = torch.tensor(_STANDARD_DEVIATION, device=frames.device)[:, None, None]
    return (frames.float() / 255 - mean) / deviation


def square_frames(frames: Sequence[UInt8[np.ndarray, "_ _ 3"]], side: int = 224) -> UInt8[Tensor, "K 3 S S"]:
    """Stack pictures of any size as one tensor.

    The short side is resized to `side` pixels (bicubic) and the central square kept.
    """
    return torch.from_numpy(np.stack([crop_centre(frame, side) for frame in frames])).permute(0, 3, 1, 2).contiguous()
