"""Published CLIPSep networks for tests: where the reference cases lie, the original's warp, and networks with the
published names.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
CASES = {
    "clipsep": REFERENCE / "official_clipsep_late_tiny.safetensors",
    "clipsep-middle": REFERENCE / "official_clipsep_middle_tiny.safetensors",
    "clipsep-nit": REFERENCE / "official_clipsep_nit_tiny.safetensors",
}


def original_warp(magnitude: Tensor) -> Tensor:
    """The original's warp, [B, 1, F, T] → [B, 256, T]: `grid_sample` over both axes, with a grid rounded to single
    precision.
    """
    rows = (np.power(21, (np.linspace(-1, 1, 256) + 1) / 2) - 11) / 10
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, magnitude.shape[-1]), rows), axis=-1).astype(np.float32)
    grids = torch.from_numpy(grid)[None].repeat(len(magnitude), 1, 1, 1)
    return torch.nn.functional.grid_sample(magnitude, grids, align_corners=True)[:, 0]


def published_state(case: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict inside a reference case."""
    prefix = "state_dict."
    return {key.removeprefix(prefix): value for key, value in case.items() if key.startswith(prefix)}


class Block(nn.Module):
    """A nested block with numbered layers. `widths` starts with the channels that come in, and ends with the
    bottleneck's.
    """

    def __init__(self, widths: list[int], out_channels: int, *, outermost: bool = True) -> None:
        super().__init__()
        innermost = len(widths) == 2
        down = [nn.Conv2d(widths[0], widths[1], 4, stride=2, padding=1, bias=False)]
        inner = [] if innermost else [Block(widths[1:], widths[1], outermost=False)]
        up = [nn.ReLU(), nn.UpsamplingBilinear2d(scale_factor=2)]
        up += [nn.Conv2d(widths[1] * (1 if innermost else 2), out_channels, 3, padding=1, bias=outermost)]
        if not outermost:
            down = [nn.LeakyReLU(0.2), *down, *([] if innermost else [nn.BatchNorm2d(widths[1])])]
            up += [nn.BatchNorm2d(out_channels)]
        self.outermost = outermost
        self.model = nn.Sequential(*down, *inner, *up)

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], dim=1)


class SoundNet(nn.Module):
    """The published U-Net."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.bn0, self.unet_block = nn.BatchNorm2d(1), block


class PublishedCLIPSep(nn.Module):
    """A small CLIPSep, with noise heads where `num_noise_heads` asks for them, whose state dict has the published
    names.
    """

    def __init__(self, *, num_masks: int = 3, embedding_dim: int = 6, num_noise_heads: int = 0) -> None:
        super().__init__()
        self.sound_net = SoundNet(Block([1, 2, 4, 5], num_masks))
        self.frame_net = nn.Linear(embedding_dim, num_masks)
        self.synth_net = nn.Module()
        self.synth_net.scale, self.synth_net.bias = nn.Parameter(torch.randn(num_masks)), nn.Parameter(torch.randn(1))
        if num_noise_heads:
            self.pit_nets = nn.ModuleList(nn.Linear(num_masks, num_masks) for _ in range(num_noise_heads))

    def forward(self, log_magnitude: Tensor, weights: Tensor) -> Tensor:
        """Mask logits [B, 256, T] for weights [B, K]."""
        maps = self.sound_net.unet_block(self.sound_net.bn0(log_magnitude))
        return torch.einsum("bk,bkft->bft", weights * self.synth_net.scale, maps) + self.synth_net.bias


class NamedBlock(nn.Module):
    """A nested block with named layers, conditioned at the innermost. Normalisations that its original holds and never
    uses are random.
    """

    def __init__(self, widths: list[int], out_channels: int, num_conditions: int, *, outermost: bool = True) -> None:
        super().__init__()
        self.outermost, innermost = outermost, len(widths) == 2
        self.downconv = nn.Conv2d(widths[0], widths[1], 4, stride=2, padding=1, bias=False)
        self.downnorm = nn.BatchNorm2d(widths[1])
        self.submodule = None if innermost else NamedBlock(widths[1:], widths[1], num_conditions, outermost=False)
        inner = widths[1] + num_conditions if innermost else 2 * widths[1]
        self.upconv = nn.Conv2d(inner, out_channels, 3, padding=1, bias=outermost)
        if not outermost:
            self.upnorm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.downconv(x if self.outermost else nn.functional.leaky_relu(x, 0.2))
        if self.submodule is None:
            y = torch.cat(
                [y, condition[:, :, None, None] * torch.ones(len(y), condition.shape[1], *y.shape[2:])], dim=1
            )
        else:
            y = self.submodule(y if self.outermost else self.downnorm(y), condition)
        y = self.upconv(nn.functional.interpolate(y.relu(), scale_factor=2, mode="bilinear", align_corners=True))
        return y if self.outermost else torch.cat([x, self.upnorm(y)], dim=1)


class PublishedMiddle(nn.Module):
    """A small CLIPSep with middle fusion whose state dict has the published names, `synth_net` included, which nothing
    reads.
    """

    def __init__(self, *, num_conditions: int = 3, embedding_dim: int = 6) -> None:
        super().__init__()
        self.sound_net = SoundNet(NamedBlock([1, 2, 4, 5], 1, num_conditions))
        self.frame_net = nn.Linear(embedding_dim, num_conditions)
        self.synth_net = nn.Module()
        self.synth_net.scale, self.synth_net.bias = (
            nn.Parameter(torch.randn(num_conditions)),
            nn.Parameter(torch.randn(1)),
        )

    def forward(self, log_magnitude: Tensor, vectors: Tensor) -> Tensor:
        """Mask logits [B, 256, T] for query vectors [B, D]."""
        return self.sound_net.unet_block(self.sound_net.bn0(log_magnitude), self.frame_net(vectors).sigmoid())[:, 0]
