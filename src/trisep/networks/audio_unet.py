"""The audio U-Net: a log-magnitude spectrogram in, `out_channels` maps of the same size out. It knows no query.

Each level halves frequency and time; seven levels turn 256 × T into 2 × T/128. Source: Sound of Pixels (Zhao et al.
2018), whose U-Net CLIPSep and VAST took over. State-dict keys are ours; `trisep import` maps the published ones.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.networks import gradients
from trisep.networks.halving import DoublingConv, HalvingConv, double
from trisep.networks.residual import ResidualBlock, fixed_normalization

_MAX_WIDTH = 4096
"""Largest number of channels, of which a kernel takes a gigabyte."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig:
    """Shape of the U-Net."""

    num_levels: int = 7
    base_width: int = 64
    """Channels of the first level; each further level doubles them up to `max_width`."""
    max_width: int = 512
    bottleneck_width: int | None = None
    """Channels of the innermost map; None takes the width of the level above it."""
    upsampling: Literal["bilinear", "transposed"] = "bilinear"
    """`bilinear`: ×2 with aligned corners, then a 3×3 convolution. It is the published one. Its scale depends on the
    length of the input, so it is not exactly shift-equivariant. `transposed`: a 4×4 convolution of stride 2. It is
    exactly shift-equivariant and needs a quarter of the work."""
    normalization: Literal["batch", "channel"] = "batch"
    """Normalisation of the decoder's layers. `batch` takes statistics over the whole batch; it is the published one.
    `channel` (ours) takes the mean and variance of each bin over its own channels. Then nothing depends on the other
    items of the batch, on the length of the input or on the mode. A decoder that is run region by region needs
    `channel` in training: batch statistics over chunks of regions would make the result depend on how they are cut. The
    encoder, which runs once per mixture, keeps batch normalisation."""
    out_channels: int = 32
    residual_levels: tuple[int, ...] = ()
    """Levels whose encoded map passes a residual block, counted from 0, the outermost (ours). They run once a mixture,
    however many queries are decoded."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 2 <= self.num_levels <= 8:
            raise ConfigError(f"num_levels: expected 2 to 8 (256 rows are halved once a level), got {self.num_levels}")
        for name in ("base_width", "max_width", "out_channels", "bottleneck_width"):
            if not 1 <= (1 if (width := getattr(self, name)) is None else width) <= _MAX_WIDTH:
                raise ConfigError(f"unet.{name}: expected 1 to {_MAX_WIDTH}, got {width}")
        if not set(self.residual_levels) <= set(range(self.num_levels)):
            raise ConfigError(
                f"unet.residual_levels: expected levels from 0 to {self.num_levels - 1}, got {self.residual_levels}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels after each level's down-sampling, outermost first."""
        widths = [min(self.base_width * 2**level, self.max_width) for level in range(self.num_levels)]
        widths[-1] = self.bottleneck_width or widths[-2]
        return tuple(widths)

    @property
    def time_multiple(self) -> int:
        """The number of frames must be a multiple of this."""
        return 1 << self.num_levels

    @property
    def is_shift_equivariant(self) -> bool:
        """Whether a shift of the input by `time_multiple` shifts the output, whatever the length of the input."""
        return self.upsampling == "transposed"


class ChannelNorm(nn.LayerNorm):
    """Normalises every bin over its channels, with a learned scale and bias per channel.

    This is layer normalisation as ConvNeXt (Liu et al. 2022) uses it between convolutions. The input and the output are
    [B, C, H, W]; the output lies channels-last in memory.
    """

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Normalise to mean 0 and variance 1 over C, then apply scale and bias."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class UpBlock(nn.Sequential):
    """Doubles height and width: ReLU, then a linear part, then a normalisation.

    The last block of a network has a bias and no normalisation, since its output are mask maps.
    """

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig, *, last: bool = False) -> None:
        """Build the layers."""
        layers: list[nn.Module] = [nn.ReLU()]
        if config.upsampling == "bilinear":
            layers += [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)]
            layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=last)]
        else:
            layers += [DoublingConv(in_channels, out_channels, bias=last)]
        if not last:
            layers += [nn.BatchNorm2d(out_channels) if config.normalization == "batch" else ChannelNorm(out_channels)]
        super().__init__(*layers)

    @property
    def convolution(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """The layer that holds the kernel."""
        layer = self[2] if isinstance(self[1], nn.Upsample) else self[1]
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        return layer

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply the block."""
        return self.after_relu(input.relu())

    def after_relu(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply the block without its ReLU."""
        kernel, bias, normalization = self.folded()
        result: Tensor = normalization(self.linear_part(x, kernel, bias))
        return result

    def folded(self) -> tuple[Float[Tensor, "_ _ _ _"], Float[Tensor, "C2"] | None, nn.Module]:
        """Return the kernel, the bias, and the normalisation that comes after them.

        A normalisation with fixed statistics is part of kernel and bias, and nothing comes after them.
        """
        convolution, last = self.convolution, self[-1]
        if (fixed := fixed_normalization(last)) is None:
            return convolution.weight, convolution.bias, nn.Identity() if last is convolution else last
        scale, shift = fixed
        per_output = (1, -1, 1, 1) if isinstance(convolution, nn.ConvTranspose2d) else (-1, 1, 1, 1)
        return convolution.weight * scale.view(per_output), shift, nn.Identity()

    def linear_part(
        self, x: Float[Tensor, "B C H W"], kernel: Float[Tensor, "_ _ _ _"], bias: Float[Tensor, "C2"] | None = None
    ) -> Float[Tensor, "B C2 H2 W2"]:
        """Apply the layers between the ReLU and the normalisation.

        `kernel` is the part of the kernel of `folded` that belongs to the channels of `x`.
        """
        if isinstance(self.convolution, nn.Conv2d):
            return nn.functional.conv2d(self[1](x), kernel, bias, padding=1)
        return double(x, kernel, bias)

    def sums(
        self, *inputs_and_kernels: tuple[Float[Tensor, "_ _ H W"], Float[Tensor, "_ _ _ k k"]]
    ) -> Float[Tensor, "R H2 W2"]:
        """Compute what `linear_part` does with Q kernels of one output channel for each row, summed over the inputs.

        An input is [B, C, H, W], its kernels [B, Q, C, k, k]; R = B · Q is the same for all. The sums are in float32 at
        least.
        """
        first, _ = inputs_and_kernels[0]
        if gradients.pays(first) and isinstance(self.convolution, nn.ConvTranspose2d):
            return gradients.summed_transposed(*(tensor for pair in inputs_and_kernels for tensor in pair))
        total, *others = (self.taps(*pair).flatten(0, 1) for pair in inputs_and_kernels)
        for taps in others:
            total = total.add_(taps)
        return self.fold_taps(total)

    def taps(self, x: Float[Tensor, "B C H W"], kernels: Float[Tensor, "B Q C k k"]) -> Float[Tensor, "B Q kk H W"]:
        """Multiply every bin of `x` by every tap of the Q kernels of its row, each with one output channel.

        `fold_taps` turns the result into what `linear_part` computes, with as many output channels as kernels. Taps of
        several inputs may be added up before.
        """
        if torch.is_grad_enabled():
            # Bins before channels, as they lie in memory: the gradient of x then lies as x does.
            matrix = kernels.flatten(3).transpose(1, 2).flatten(2)
            products = torch.bmm(x.flatten(2).transpose(1, 2), matrix.to(x.dtype)).transpose(1, 2)
        else:
            # Taps before bins, as `fold_taps` reads them: it needs no copy then.
            products = torch.bmm(kernels.flatten(3).transpose(2, 3).flatten(1, 2).to(x.dtype), x.flatten(2))
        return products.reshape(*kernels.shape[:2], -1, *x.shape[2:])

    def summed_kernels(
        self, kernel: Float[Tensor, "_ _ _ _"], weights: Float[Tensor, "B Q K"]
    ) -> Float[Tensor, "B Q C k k"]:
        """Sum a kernel with K output channels over them, each time with other weights, as `taps` takes it."""
        out_axis = 1 if isinstance(self.convolution, nn.ConvTranspose2d) else 0
        kernels: Tensor = torch.tensordot(weights.to(kernel.dtype), kernel, dims=([2], [out_axis]))
        return kernels

    def summed_bias(self, weights: Float[Tensor, "B Q K"]) -> Float[Tensor, "B Q 1 1"]:
        """Sum the bias over the output channels."""
        assert self.convolution.bias is not None
        return (weights * self.convolution.bias).sum(dim=2)[..., None, None]

    def fold_taps(self, taps: Float[Tensor, "R kk H W"], *, of_strip: bool = False) -> Float[Tensor, "R H2 W2"]:
        """Add up the taps of each bin where they belong in the output of twice the size, in float32 at least.

        A sum over channels commutes with the bilinear upsampling, which treats every channel alike. Of a strip of rows
        the result has 2 H + 2 rows, from the last one before it to the first one behind it, which other strips reach
        into, too (transposed convolutions only).
        """
        size = 2 * taps.shape[-2], 2 * taps.shape[-1]
        taps = taps.to(torch.promote_types(taps.dtype, torch.float32))
        if isinstance(self.convolution, nn.Conv2d):
            # A convolution adds tap d of bin i at i − d, and a fold puts it at i + d.
            low = self[1](taps).flip(1)
            return nn.functional.fold(low.flatten(2), size, kernel_size=3, padding=1).squeeze(1)
        rows, padding = (size[0] + 2, (0, 1)) if of_strip else (size[0], (1, 1))
        return nn.functional.fold(taps.flatten(2), (rows, size[1]), kernel_size=4, stride=2, padding=padding).squeeze(1)


def _lay_channels_last(network: nn.Module) -> None:
    """Lay out the kernels with the channels last in memory, which makes every convolution of these networks faster.

    A kernel of one channel lies so in any case, but only its strides tell the convolution to lay out its output so, and
    PyTorch's own conversions leave them as they are.
    """
    for parameter in network.parameters():
        if parameter.ndim == 4:
            _, channels, height, width = parameter.shape
            strides = (channels * height * width, 1, channels * width, channels)
            laid_out = torch.empty_strided(parameter.shape, strides, dtype=parameter.dtype, device=parameter.device)
            parameter.data = laid_out.copy_(parameter.data)


class AudioEncoder(nn.Module):
    """The contracting half of the U-Net: strided convolutions, which return the map of each level."""

    def __init__(self, config: UNetConfig, *, in_channels: int = 1) -> None:
        """Build the layers; `in_channels` spectrograms are read together."""
        super().__init__()
        self.config = config
        widths = config.widths
        self.input_norm = nn.BatchNorm2d(in_channels)
        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            layers: list[nn.Module] = [] if level == 0 else [nn.LeakyReLU(0.2)]
            layers += [HalvingConv(in_channels if level == 0 else widths[level - 1], width)]
            if 0 < level < config.num_levels - 1:
                layers += [nn.BatchNorm2d(width)]
            self.down.append(nn.Sequential(*layers))
        blocks = {str(level): ResidualBlock(widths[level]) for level in sorted(set(config.residual_levels))}
        self.residual = nn.ModuleDict(blocks)
        _lay_channels_last(self)

    def encode(self, log_magnitude: Float[Tensor, "B I 256 T"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Compute the map of every level, [B, C, 128, T/2], [B, C, 64, T/4], …; the last one is the bottleneck."""
        maps = []
        x = self.input_norm(log_magnitude)
        for index, level in enumerate(self.down):
            assert isinstance(level, nn.Sequential)
            normalization = level[-1] if isinstance(level[-1], nn.BatchNorm2d) else nn.Identity()
            activation = level[0] if isinstance(level[0], nn.LeakyReLU) else nn.Identity()
            convolution = next(layer for layer in level if isinstance(layer, HalvingConv))
            x = convolution.normalized(x, activation, normalization)
            if str(index) in self.residual:
                x = self.residual[str(index)](x, in_place=True)
            maps.append(x)
        return maps


class AudioUNet(AudioEncoder):
    """Encoder and decoder with skip connections, as two methods, so that a fusion can act in between.

    A fusion may append `condition_channels` further maps to those of the bottleneck. `decode` then expects the
    innermost map with them, and `networks/fusion.py` decodes many such maps at once.
    """

    def __init__(self, config: UNetConfig, *, condition_channels: int = 0, in_channels: int = 1) -> None:
        """Build the layers; `in_channels` spectrograms are read together."""
        super().__init__(config, in_channels=in_channels)
        widths = config.widths
        self.up = nn.ModuleList()
        for level in reversed(range(config.num_levels)):
            inner = widths[level] + condition_channels if level == config.num_levels - 1 else 2 * widths[level]
            outer = config.out_channels if level == 0 else widths[level - 1]
            self.up.append(UpBlock(inner, outer, config, last=level == 0))
        _lay_channels_last(self.up)

    @property
    def up_blocks(self) -> list[UpBlock]:
        """The layers of the decoder, innermost first."""
        return [block for block in self.up if isinstance(block, UpBlock)]

    @property
    def output_layer(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """The convolution that makes the output, the only one of the decoder with a bias."""
        return self.up_blocks[-1].convolution

    def decode(self, maps: list[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B K 256 T"]:
        """Decode from the bottleneck outwards; each level is concatenated with its skip connection (skip first)."""
        return self.up_blocks[-1].after_relu(self._last_input(maps))

    def decode_sums(
        self, maps: list[Float[Tensor, "B _ _ _"]], weights: Float[Tensor, "B Q K"]
    ) -> Float[Tensor, "B Q 256 T"]:
        """Compute the Q weighted sums over the K maps of `decode`, in float32 at least.

        The last layer is linear: where sums are fewer than maps they are taken over its kernels, and the maps, which
        are the largest of all, are never computed. This is exact.
        """
        block, x = self.up_blocks[-1], self._last_input(maps)
        rows, num_maps = weights.shape[:2], weights.shape[2]
        if rows[1] >= num_maps:
            decoded = block.after_relu(x)
            sums = torch.bmm(weights.to(decoded.dtype), decoded.flatten(2))
            return sums.view(*rows, *decoded.shape[2:]).to(torch.promote_types(sums.dtype, torch.float32))
        sums = block.sums((x, block.summed_kernels(block.convolution.weight, weights)))
        return sums.view(*rows, *sums.shape[1:]) + block.summed_bias(weights)

    def _last_input(self, maps: list[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B C 128 T2"]:
        """Compute what the last layer reads behind its ReLU."""
        x = maps[-1].relu()
        for layer, skip in zip(self.up_blocks[:-1], reversed(maps[:-1]), strict=True):
            x = torch.cat([skip, layer.after_relu(x)], dim=1).relu_()
        return x

    def forward(self, log_magnitude: Float[Tensor, "B I 256 T"]) -> Float[Tensor, "B K 256 T"]:
        """Encode, then decode."""
        return self.decode(self.encode(log_magnitude))
