"""Small Sound of Pixels networks for tests, built as its public code builds them, so that their state dicts have the
published names.
"""

import torch
from published_clipsep import Block, SoundNet
from torch import Tensor, nn


class Residual(nn.Module):
    """A basic block under torchvision's names."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + shortcut).relu()


def dilated_features(width: int) -> nn.Sequential:
    """ResNet-18 without its head, then its last stage changed layer by layer: strides go, and kernels that never strode
    are spread by 2.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    for stage in range(4):
        channels = width * 2**stage
        first = Residual(channels if stage == 0 else channels // 2, channels, 1 if stage == 0 else 2)
        layers.append(nn.Sequential(first, Residual(channels, channels, 1)))
    for layer in layers[-1].modules():
        if isinstance(layer, nn.Conv2d):
            if layer.stride == (1, 1):
                layer.dilation = layer.padding = (2, 2)
            layer.stride = (1, 1)
    return nn.Sequential(*layers)


class FrameNet(nn.Module):
    """The published image network."""

    def __init__(self, width: int, num_masks: int) -> None:
        super().__init__()
        self.features = dilated_features(width)
        self.fc = nn.Conv2d(8 * width, num_masks, 3, padding=1)


class PublishedSoundOfPixels(nn.Module):
    """unet7, resnet18dilated and the linear synthesizer, narrow."""

    def __init__(self, *, num_masks: int = 3, width: int = 4) -> None:
        super().__init__()
        widths = [min(width * 2**level, 8 * width) for level in range(7)]
        self.net_sound = SoundNet(Block([1, *widths], num_masks))
        self.net_frame = FrameNet(width, num_masks)
        self.net_synthesizer = nn.Module()
        self.net_synthesizer.scale, self.net_synthesizer.bias = (
            nn.Parameter(torch.randn(num_masks)),
            nn.Parameter(torch.randn(1)),
        )

    def forward(self, log_magnitude: Tensor, frames: Tensor) -> Tensor:
        """Masks [B, 256, T] of the sound that uint8 frames [B, K, 3, H, W] show."""
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        pixels = (frames / 255 - mean[:, None, None]) / deviation[:, None, None]
        seen = torch.stack(
            [self.net_frame.fc(self.net_frame.features(pixels[:, frame])) for frame in range(frames.shape[1])], dim=2
        )
        weights = nn.functional.adaptive_max_pool3d(seen, 1).flatten(1).sigmoid()
        maps = self.net_sound.unet_block(self.net_sound.bn0(log_magnitude))
        return (
            torch.einsum("bk,bkft->bft", weights * self.net_synthesizer.scale, maps) + self.net_synthesizer.bias
        ).sigmoid()
