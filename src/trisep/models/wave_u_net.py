"""Wave-U-Net (Stoller et al., ISMIR 2018): the mixture's samples in, the samples of every source out, without a query.

The variant is the paper's with input context (no padding), linear interpolation and a difference output layer, for
mono sound. The sources of this project have no order, which is ours: the loss takes the assignment of least cost, and
an evaluation the best one, as for PIT.

A variant that answers queries is ours, too: with `embedding_dim` each query's vector is projected and added to every
moment of the innermost map, and the decoder runs once for each query. It then has one estimate a query and no
difference layer, as nothing says that the queries name all that is heard.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import Contract, Reads, VectorQuery
from trisep.types import QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class WaveUNetConfig:
    """Shape of the network. The defaults are the paper's."""

    num_levels: int = 12
    """Number L of levels; each halves the rate."""
    extra_filters: int = 24
    """F_c: level l has l · F_c channels, and the innermost convolution one F_c more."""
    down_kernel: int = 15
    up_kernel: int = 5

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_levels < 1 or self.extra_filters < 1:
            raise ConfigError("unet.num_levels and unet.extra_filters must be at least 1")
        if min(self.down_kernel, self.up_kernel) < 1 or not self.down_kernel % 2 or not self.up_kernel % 2:
            raise ConfigError(
                "unet.down_kernel and unet.up_kernel: expected odd numbers, so that a map lies in the middle of the "
                f"one it is made from, got {self.down_kernel} and {self.up_kernel}"
            )

    @property
    def time_multiple(self) -> int:
        """Any number of frames will do: the network reads none."""
        return 1

    @property
    def context_samples(self) -> int:
        """Samples lost on either side: 65 527 for the paper's shape (147 443 in, 16 389 out)."""
        below = (1 << self.num_levels) - 1
        return ((self.down_kernel - 1) * (2 * below + 1) + (self.up_kernel - 1) * below) // 2

    def output_samples(self, num_samples: int) -> int:
        """Return the least number of samples, at least `num_samples`, that the network can give: 2^L n + up_kernel."""
        rest = max(0, num_samples - self.up_kernel)
        return self.up_kernel + (-(-rest >> self.num_levels) << self.num_levels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VectorQuery):
    """Configuration of Wave-U-Net."""

    num_sources: int = 2
    """Number N of interchangeable estimates; not read where queries are answered."""
    embedding_dim: int = 0
    """Dimension D of the vectors of queries; 0 is the paper's network, which answers none."""
    unet: WaveUNetConfig = field(default_factory=WaveUNetConfig)
    """The audio network."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.num_sources < 2:
            raise ConfigError(f"num_sources: expected at least 2, got {self.num_sources}")
        if self.embedding_dim < 0:
            raise ConfigError(f"embedding_dim: expected at least 0, got {self.embedding_dim}")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        return cls(unet=WaveUNetConfig(num_levels=3, extra_filters=4))

    def build(self) -> "WaveUNet":
        """Build the network with fresh weights drawn from torch's generator."""
        return WaveUNet(self)


class WaveUNet(nn.Module):
    """Convolve and decimate L times, convolve, then interpolate, concatenate and convolve L times.

    N − 1 sources leave through a tanh, and the last one is the mixture minus their sum, so the estimates sum to the
    mixture. Where queries are answered, each estimate leaves through the tanh.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        shape = config.unet
        reads: Reads = "vectors" if config.embedding_dim else "nothing"
        self.contract = Contract(domain="waveform", reads=reads, context_samples=shape.context_samples)
        widths = [shape.extra_filters * level for level in range(1, shape.num_levels + 2)]
        self.down = nn.ModuleList(
            _convolution(1 if level == 0 else widths[level - 1], width, shape.down_kernel)
            for level, width in enumerate(widths)
        )
        self.up = nn.ModuleList(
            _convolution(widths[level + 1] + widths[level], widths[level], shape.up_kernel)
            for level in reversed(range(shape.num_levels))
        )
        self.head = nn.Conv1d(widths[0] + 1, 1 if config.embedding_dim else config.num_sources - 1, 1)
        if config.embedding_dim:
            self.query_projection = nn.Linear(config.embedding_dim, widths[-1])

    def condition(self, query: QueryEmbedding | None) -> Float[Tensor, "B Q C"]:
        """Compute what is added to the innermost map for each query; ConfigError where the query has no vectors."""
        if query is None or query.vectors is None:
            raise ConfigError("Wave-U-Net with queries reads query vectors, and the query carries none")
        projected: Tensor = self.query_projection(self.config.scaled(query.vectors))
        return projected

    def forward(self, mixture: Float[Tensor, "B S"], query: QueryEmbedding | None = None) -> Float[Tensor, "B N S2"]:
        """Estimate the sources, or each query's sound, over all samples but `contract.context_samples` on either side.

        Without `embedding_dim` the query does not count. Raises ConfigError for a mixture that is no longer than its
        context.
        """
        num_samples = mixture.shape[-1] - 2 * self.contract.context_samples
        if num_samples < 1:
            raise ConfigError(
                f"signal.clip_samples: Wave-U-Net loses {2 * self.contract.context_samples} samples of context, "
                f"expected more than that, got {mixture.shape[-1]}; lower model.unet.num_levels"
            )
        surplus = self.config.unet.output_samples(num_samples) - num_samples
        samples = nn.functional.pad(mixture, (0, surplus)).unsqueeze(1)
        x, skips = samples, []
        *levels, innermost = self.down
        for layer in levels:
            skips.append(layer(x))
            x = skips[-1][..., ::2]
        x = innermost(x)
        times = 1
        if self.config.embedding_dim:
            condition = self.condition(query)
            times = condition.shape[1]
            x = (x.unsqueeze(1) + condition.unsqueeze(-1)).flatten(0, 1)
        for layer in self.up:
            x = nn.functional.interpolate(x, size=2 * x.shape[-1] - 1, mode="linear", align_corners=True)
            x = layer(torch.cat([_repeated(_middle(skips.pop(), x.shape[-1]), times), x], dim=1))
        heard = _middle(samples, x.shape[-1])
        first = torch.tanh(self.head(torch.cat([_repeated(heard, times), x], dim=1))).to(mixture.dtype)
        if self.config.embedding_dim:
            return first.view(len(mixture), times, -1)[..., :num_samples]
        return torch.cat([first, heard - first.sum(dim=1, keepdim=True)], dim=1)[..., :num_samples]


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(in_channels, out_channels, kernel_size), nn.LeakyReLU(0.2))


def _repeated(x: Float[Tensor, "B C S"], times: int) -> Float[Tensor, "B2 C S"]:
    """Return each item so many times, one after the other: once for each of its queries."""
    return x if times == 1 else x.repeat_interleave(times, dim=0)


def _middle(x: Float[Tensor, "B C S"], num_samples: int) -> Float[Tensor, "B C S2"]:
    """Cut away as much at the end as at the beginning."""
    start = (x.shape[-1] - num_samples) // 2
    return x[..., start : start + num_samples]
