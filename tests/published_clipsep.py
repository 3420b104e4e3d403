"""Published CLIPSep networks for tests: where the reference cases lie, the original's warp, and networks with the published names."""

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
    """The warp as the original computes it, [B, 1, F, T] → [B, 256, T]: `grid_sample` over both axes, its grid rounded to single precision."""
    rows = (np.power(21, (np.linspace(-1, 1, 256) + 1) / 2) - 11) / 10
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, magnitude.shape[-1]), rows), axis=-1).astype(np.float32)
    grids = torch.from_numpy(grid)[None].repeat(len(magnitude), 1, 1, 1)
    return torch.nn.functional.grid_sample(magnitude, grids, align_corners=True)[:, 0]


def published_state(case: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict inside a reference case."""
    prefix = "state_dict."
    return {key.removeprefix(prefix): value for key, value in case.items() if key.startswith(prefix)}


class Block(nn.Module):
    """A nested block with numbered layers. `widths` starts with the channels that come in, and ends with the bottleneck's."""

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
    """A small CLIPSep, with noise heads where `num_noise_heads` asks for them, whose state dict has the published names."""

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
