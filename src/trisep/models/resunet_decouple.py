"""ResUNetDecouple+ (Kong et al., ISMIR 2021): magnitude and phase of every source, estimated apart, without a query.

A residual U-Net reads the magnitude of the mixture and gives each source a bounded mask m, a magnitude q that is added
to what the mask leaves, and a rotation p of the phase. The paper has one network for each kind of source; here one
network estimates all, and their order is the one that fits best, in the loss and in an evaluation, as for PIT. That is
ours, since the sources of this project have no order, as are mono sound and the omission of the paper's subbands.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import Contract
from trisep.spectrogram.stft import istft, stft
from trisep.types import QueryEmbedding, SignalSettings

_TINY = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True)
class ResUNetConfig:
    """Shape of the network. The defaults are the paper's: 143 convolutions besides those of 1 × 1."""

    widths: tuple[int, ...] = (32, 64, 128, 256, 384, 384)
    """Channels of each level; each level halves frequency and time."""
    num_blocks: int = 4
    """Residual blocks in each level of either half, in each block between them, and behind the last."""
    num_inner: int = 4
    """Blocks between the two halves, at the smallest size."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.widths or min(*self.widths, self.num_blocks, 1) < 1 or self.num_inner < 0:
            raise ConfigError("unet.widths and unet.num_blocks: expected at least one, of at least 1 each")

    @property
    def time_multiple(self) -> int:
        """Any number of frames will do: the network fills them up itself."""
        return 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Configuration of ResUNetDecouple+."""

    num_sources: int = 2
    """Number N of interchangeable estimates."""
    window_samples: int = 1024
    """Length of the Hann window of its own STFT, equal to the FFT size."""
    hop_samples: int = 256
    unet: ResUNetConfig = field(default_factory=ResUNetConfig)
    """The audio network."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_sources < 1:
            raise ConfigError(f"num_sources: expected at least 1, got {self.num_sources}")
        _ = self.transform

    @property
    def transform(self) -> SignalSettings:
        """The settings of its STFT; ConfigError for a window that is shorter than two hops."""
        return SignalSettings(window_samples=self.window_samples, hop_samples=self.hop_samples)

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(unet=ResUNetConfig(widths=(4, 6), num_blocks=1, num_inner=1))

    def build(self) -> "ResUNetDecouple":
        """Build the network with fresh weights drawn from torch's generator."""
        return ResUNetDecouple(self)


class ResUNetDecouple(nn.Module):
    """STFT, residual U-Net over the magnitude, and for each source `|Ŝ| e^{i∠Ŝ}` back to samples.

    `|Ŝ| = relu(sigmoid(m) |X| + q)` and `∠Ŝ = ∠X + ∠(p_r + i p_i)`. The highest bin is given what the bin
    below it gets, so that the number of bins is even.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = Contract(domain="waveform", reads="nothing")
        shape = config.unet
        first, last = shape.widths[0], shape.widths[-1]
        self.input_norm = nn.BatchNorm1d(config.window_samples // 2)
        self.input = nn.Conv2d(1, first, 1)
        self.down = nn.ModuleList(
            _residual_blocks(inner, outer, shape.num_blocks)
            for inner, outer in zip((first, *shape.widths), shape.widths, strict=False)
        )
        self.inner = nn.Sequential(*(_residual_blocks(last, last, shape.num_blocks) for _ in range(shape.num_inner)))
        self.rise = nn.ModuleList()
        self.up = nn.ModuleList()
        for inner, outer in zip((last, *reversed(shape.widths)), reversed(shape.widths), strict=False):
            self.rise.append(_activated(inner, nn.ConvTranspose2d(inner, outer, 3, 2, 1, output_padding=1, bias=False)))
            self.up.append(_residual_blocks(2 * outer, outer, shape.num_blocks))
        self.output = nn.Sequential(
            _residual_blocks(first, first, shape.num_blocks), nn.Conv2d(first, 4 * config.num_sources, 1)
        )

    def forward(self, mixture: Float[Tensor, "B S"], query: QueryEmbedding | None = None) -> Float[Tensor, "B N S"]:
        """Estimate the sources, whatever the query."""
        with torch.autocast(mixture.device.type, enabled=False):
            spectrum = stft(mixture.float(), self.config.transform)
        maps = self.maps(spectrum.abs()).float()
        mask, rotation_real, rotation_imaginary, added = maps.chunk(4, dim=1)
        magnitude = torch.relu(torch.sigmoid(mask) * spectrum.abs().unsqueeze(1) + added)
        # Both factors are brought to unit length, so that only their phases count.
        phase = (spectrum / spectrum.abs().clamp_min(_TINY)).unsqueeze(1)
        length = (rotation_real.square() + rotation_imaginary.square() + _TINY).sqrt()
        rotation = torch.complex(rotation_real / length, rotation_imaginary / length)
        return istft(magnitude * phase * rotation, self.config.transform, mixture.shape[-1])

    def maps(self, magnitude: Float[Tensor, "B F T"]) -> Float[Tensor, "B M F T"]:
        """Compute m of every source, then their p_r, p_i and q, 4 N maps in all, on the bins of the STFT."""
        num_bins, num_frames = magnitude.shape[1:]
        multiple = 1 << len(self.config.unet.widths)
        x = self.input_norm(magnitude[:, :-1]).unsqueeze(1)
        x = nn.functional.pad(x, (0, -num_frames % multiple, 0, -(num_bins - 1) % multiple))
        x, skips = self.input(x), []
        for blocks in self.down:
            skips.append(blocks(x))
            x = nn.functional.avg_pool2d(skips[-1], 2)
        x = self.inner(x)
        for rise, blocks in zip(self.rise, self.up, strict=True):
            x = blocks(torch.cat([rise(x), skips.pop()], dim=1))
        x = self.output(x)[:, :, : num_bins - 1, :num_frames]
        return nn.functional.pad(x, (0, 0, 0, 1), mode="replicate")


class ResidualBlock(nn.Module):
    """Two convolutions of 3 × 3, each behind a normalisation and a leaky ReLU, added to the input or its projection."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the layers."""
        super().__init__()
        self.layers = nn.Sequential(
            _activated(in_channels, nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)),
            _activated(out_channels, nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)),
        )
        self.shortcut = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H W"]:
        """Compute the map of the same size."""
        total: Tensor = self.layers(x) + self.shortcut(x)
        return total


def _residual_blocks(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(out_channels if n else in_channels, out_channels) for n in range(count)))


def _activated(in_channels: int, layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(in_channels), nn.LeakyReLU(0.01), layer)
