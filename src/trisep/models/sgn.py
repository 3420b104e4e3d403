"""SGN, the semantic grouping network (Mo and Tian 2024): a token for each label gathers what sounds like it.

The tokens and patches of the spectrogram attend to one another; then each patch is shared out among the tokens, and
what a token receives conditions the decoder on its label. This file knows no names of labels and no loss.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import Contract
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import SplitDecoder
from trisep.networks.narrow import single_precision_if
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Configuration of SGN; what the paper does not give is ours."""

    num_labels: int
    """Number L of labels, each with a token; the network does not know their names."""
    token_dim: int = 256
    """Dimension D of tokens and patches."""
    num_layers: int = 3
    """Layers of self-attention over tokens and patches."""
    num_heads: int = 8
    patch: int = 16
    """Rows and frames of a patch."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network, whose output maps are summed."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_labels < 1:
            raise ConfigError(f"num_labels: expected at least 1, got {self.num_labels}")
        if min(self.num_layers, self.num_heads) < 1 or self.token_dim < 1 or self.token_dim % self.num_heads:
            raise ConfigError(
                f"token_dim: expected a multiple of num_heads = {self.num_heads}, both and num_layers at least 1, got "
                f"{self.token_dim}"
            )
        if self.patch < 1 or 256 % self.patch:
            raise ConfigError(f"patch: expected a divisor of the 256 rows, got {self.patch}")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        unet = UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4)
        return cls(num_labels=3, token_dim=8, num_layers=1, num_heads=2, patch=8, unet=unet)

    def build(self) -> "SGN":
        """Build the network with fresh weights drawn from torch's generator."""
        return SGN(self)


class SGN(nn.Module):
    """Patches → attention with the label tokens → grouping → the U-Net's decoder, conditioned by the query's group.

    Our readings: patches carry no position; the grouping is soft; the group enters the decoder tiled beside the
    bottleneck (HFRA Eq. 1). Patches attend to one another over the whole input, so a part of it gives other masks.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        multiple = math.lcm(config.unet.time_multiple, config.patch)
        self.contract = Contract(time_multiple=multiple, is_shift_equivariant=False, reads="labels")
        dim = config.token_dim
        self.unet = AudioUNet(config.unet, condition_channels=dim)
        self.patches = nn.Conv2d(1, dim, config.patch, stride=config.patch)
        self.tokens = nn.Parameter(torch.randn(config.num_labels, dim) * dim**-0.5)
        self.attention = nn.ModuleList(AttentionLayer(dim, config.num_heads) for _ in range(config.num_layers))
        self.token_projection = nn.Linear(dim, dim)
        self.patch_projection = nn.Linear(dim, dim)
        self.value_projection = nn.Linear(dim, dim)
        self.classifier = nn.Linear(dim, config.num_labels)
        self.presence = nn.Linear(dim, 1)

    def group(
        self, log_magnitude: Float[Tensor, "B 1 256 T"]
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B L D"], Float[Tensor, "B L P"]]:
        """Compute the tokens after attention, the groups, and the share of each patch that each token receives.

        A patch is shared out by a softmax over the labels; a token's group is the token plus the mean of the patches,
        weighted by its shares.
        """
        num_labels = self.config.num_labels
        picture = self.unet.input_norm(log_magnitude).float()
        with single_precision_if(picture.shape[-1] < 2 * self.config.patch):
            patches = self.patches(picture).flatten(2).transpose(1, 2)
        x = torch.cat([self.tokens.expand(len(patches), -1, -1).to(patches.dtype), patches], dim=1)
        for layer in self.attention:
            x = layer(x)
        # Copies, as torch multiplies a part of a tensor in another order of sums where gradients are needed.
        tokens, patches = x[:, :num_labels].contiguous(), x[:, num_labels:].contiguous()
        similarity = self.token_projection(tokens) @ self.patch_projection(patches).transpose(1, 2)
        shares = torch.softmax(similarity.float() * self.config.token_dim**-0.5, dim=1)
        weights = (shares / shares.sum(dim=2, keepdim=True).clamp_min(1e-6)).to(patches.dtype)
        return tokens, tokens + weights @ self.value_projection(patches), shares

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] of the labels asked for, their logits, and what the tokens tell.

        `class_logits` [B, L, L] say which label each token stands for, `presence_logits` [B, L] which labels are heard.
        T is a multiple of `contract.time_multiple`. Raises IndexError or RuntimeError for a label out of range.
        """
        if query.label_ids is None:
            raise ConfigError("SGN reads label ids, and the query carries none")
        tokens, groups, _ = self.group(log_magnitude)
        asked = torch.take_along_dim(groups, query.label_ids.unsqueeze(2), dim=1)
        maps = self.unet.encode(log_magnitude)
        logits = SplitDecoder(self.unet, maps, once=True)(asked.float()).float()
        return MaskOutput(
            masks=torch.sigmoid(logits),
            logits=logits,
            bottleneck=maps[-1],
            class_logits=self.classifier(tokens).float(),
            presence_logits=self.presence(groups).squeeze(2).float(),
        )


class AttentionLayer(nn.Module):
    """Self-attention, then two layers for each token on its own; both are added to their input, which is normalised."""

    def __init__(self, dim: int, num_heads: int) -> None:
        """Build the layers; `dim` is a multiple of `num_heads`."""
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.projections, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.layers = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Float[Tensor, "B P D"]) -> Float[Tensor, "B P D"]:
        """Let every token attend to all."""
        heads = self.projections(self.attention_norm(x)).view(*x.shape[:2], 3, self.num_heads, -1)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        # Written out, as the fused kernel rounds otherwise where gradients are needed.
        weights = torch.softmax(queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5, dim=-1)
        x = x + self.output((weights.to(values.dtype) @ values).transpose(1, 2).flatten(2))
        return x + self.layers(self.norm(x))  # type: ignore[no-any-return]
