"""AudioScope (Tzinis et al., ICLR 2021): it splits a mixture without a query, then keeps what is on the screen.

A classifier hears each separated sound beside the query's embedding; the mask of a query is the sum of all masks, each
by the probability that its sound is of what the query shows. This file knows no encoder and no loss;
`losses/on_screen.py` trains both halves.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.models import Contract, VectorQuery
from trisep.networks.audio_unet import AudioEncoder, AudioUNet, UNetConfig
from trisep.spectrogram import log_frequency
from trisep.types import MaskOutput, QueryEmbedding, Sounds


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VectorQuery):
    """Configuration of AudioScope on this project's U-Net."""

    embedding_dim: int = 512
    """Dimension D of the queries' space: 512 for CLIP ViT-B/32, 384 for `lite`."""
    num_sources: int = 4
    """Number J of sounds that a mixture is split into; 4 in the paper."""
    classifier_width: int = 128
    """Dimension of a sound and of a picture as the classifier reads them."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k. The sounds are embedded by a contracting half of the same sizes."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.num_sources, self.classifier_width) < 1:
            raise ConfigError(
                f"num_sources and classifier_width: expected at least 1, got {self.num_sources} and "
                f"{self.classifier_width}"
            )

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of a few thousand parameters for tests."""
        unet = UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4)
        return cls(embedding_dim=8, num_sources=3, classifier_width=8, unet=unet)

    def build(self) -> "AudioScope":
        """Build the network with fresh weights drawn from torch's generator."""
        return AudioScope(self)


class AudioScope(nn.Module):
    """The audio U-Net with J interchangeable masks, and a classifier of pairs of a sound and a query.

    Our deviations: masks on the papers' U-Net in the place of TDCN++, by a softmax over the sounds in the place of the
    paper's projection, so that they sum to the mixture; the recipe's frozen encoder in the place of an image network
    that is trained too, without attention between sound and picture. The classifier averages a sound over its length,
    so a part of the input gives other masks.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        multiple, width = config.unet.time_multiple, config.classifier_width
        self.contract = Contract(time_multiple=multiple, is_shift_equivariant=False)
        self.unet = AudioUNet(config.unet)
        self.head = nn.Conv2d(config.unet.out_channels, config.num_sources, 1)
        self.audio_encoder = AudioEncoder(config.unet)
        self.audio_projection = nn.Linear(config.unet.widths[-1], width)
        self.query_projection = nn.Linear(config.embedding_dim, width)
        self.classifier = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1], without logits; and, in training, the sounds they are sums of.

        T is a multiple of `contract.time_multiple`.
        """
        if query.vectors is None:
            raise ConfigError("AudioScope reads query vectors, and the query carries none")
        maps = self.unet.encode(log_magnitude)
        sounds = self.head(self.unet.decode(maps)).float().softmax(dim=1)
        on_screen = self.on_screen(sounds, log_magnitude, query.vectors)
        masks = torch.einsum("bqj,bjft->bqft", on_screen.sigmoid(), sounds).clamp(0, 1)  # rounding may exceed 1
        told = Sounds(sounds, on_screen) if self.training else None
        return MaskOutput(masks=masks, bottleneck=maps[-1], sounds=told)

    def on_screen(
        self,
        masks: Float[Tensor, "B J 256 T"],
        log_magnitude: Float[Tensor, "B 1 256 T"],
        vectors: Float[Tensor, "B Q D"],
    ) -> Float[Tensor, "B Q J"]:
        """Compute the logit of every query and sound that the sound is of what the query shows."""
        alone = log_frequency.log_magnitude((masks * log_magnitude.float().exp()).flatten(0, 1))
        heard = self.audio_encoder.encode(alone)[-1].float().mean(dim=(2, 3)).reshape(*masks.shape[:2], -1)
        seen, sounds = self.query_projection(self.config.scaled(vectors)), self.audio_projection(heard)
        shape = (*vectors.shape[:2], masks.shape[1], -1)
        pairs = torch.cat([seen.unsqueeze(2).expand(shape), sounds.unsqueeze(1).expand(shape)], dim=-1)
        logits: Tensor = self.classifier(pairs)
        return logits.squeeze(-1).float()
