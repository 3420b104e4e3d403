"""MP-Net (Xu et al., ICCV 2019, "Recursive Visual Sound Separation Using Minus-Plus Net"): one sound after the other.

M-Net, which is Sound of Pixels, predicts the loudest sound that is left, which is subtracted from the mixture, until
every query has its own. P-Net then gives each sound back what was taken from the mixture before it and is its own, too.
This file knows no frozen encoder and no loss.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.encoders.resnet import ResNet18
from trisep.models import Contract, sound_of_pixels
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.spectrogram.log_frequency import log_magnitude as logarithm
from trisep.types import MaskOutput, QueryEmbedding

_SMALLEST = 1e-6
"""Masks are taken into [1e-6, 1 − 1e-6] before their logits are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Configuration of MP-Net: that of M-Net, whose U-Net's shape is P-Net's, too."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    """Both audio networks; `out_channels` is k of M-Net, and P-Net has one output."""
    image_width: int = 64
    """As in Sound of Pixels."""

    @property
    def minus(self) -> sound_of_pixels.Config:
        """M-Net; ConfigError for values out of range."""
        return sound_of_pixels.Config(unet=self.unet, image_width=self.image_width)

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of some ten thousand parameters for tests."""
        small = sound_of_pixels.Config.tiny()
        return cls(unet=small.unet, image_width=small.image_width)

    def build(self) -> "MPNet":
        """Build the network with fresh weights drawn from torch's generator."""
        return MPNet(self)


class MPNet(nn.Module):
    """The recursion over the queries, on shares of the mixture's bins: what is left of a bin begins at 1.

    With `l_t` left, the mask `m_t` of M-Net takes `m_t l_t` of the mixture, and `l_{t+1} = l_t (1 − m_t)`; P-Net's mask
    `p_t` takes `p_t (1 − l_t)` back from what was removed before. Both together are the sound's mask, in [0, 1].

    Our deviations: the queries say how many sounds there are, where the paper stops at a level; each query is the
    maximum over its frames and places, where the paper takes the place of the loudest sound; M-Net and P-Net are
    trained together from the start, on the final masks.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        # Which sound is the loudest is a matter of the whole input, so no part of it can be run alone.
        multiple = config.unet.time_multiple
        self.contract = Contract(time_multiple=multiple, is_shift_equivariant=False, reads="frames")
        self.minus = config.minus.build()
        self.plus = AudioUNet(replace(config.unet, out_channels=1), in_channels=2)

    @property
    def unet(self) -> AudioUNet:
        """The audio network of M-Net."""
        return self.minus.unet

    @property
    def image_network(self) -> ResNet18:
        """The image network of M-Net, which may start from ImageNet (`--init`)."""
        return self.minus.image_network

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`."""
        weights = self.minus.query_weights(query)
        magnitude = log_magnitude.squeeze(1).exp()
        left = torch.ones_like(magnitude)
        is_separated = torch.zeros(weights.shape[:2], dtype=torch.bool, device=weights.device)
        masks = magnitude.new_zeros(*weights.shape[:2], *magnitude.shape[1:])
        bottleneck = None
        for _ in range(weights.shape[1]):
            maps = self.unet.encode(logarithm(left * magnitude))
            bottleneck = maps[-1] if bottleneck is None else bottleneck
            logits = self.minus.fusion.decoded(self.unet, maps, weights).float()
            taken = torch.sigmoid(logits) * left.unsqueeze(1)
            energy = (taken * magnitude.unsqueeze(1)).square().mean(dim=(2, 3))
            loudest = energy.masked_fill(is_separated, -1).argmax(dim=1)
            is_loudest = nn.functional.one_hot(loudest, weights.shape[1]).bool()
            solo = taken[is_loudest]
            sound = solo + self._returned(solo, 1 - left, magnitude)
            masks = torch.where(is_loudest[:, :, None, None], sound.unsqueeze(1), masks)
            is_separated, left = is_separated | is_loudest, left - solo
        return MaskOutput(masks=masks, logits=torch.logit(masks, eps=_SMALLEST), bottleneck=bottleneck)

    def _returned(
        self, solo: Float[Tensor, "B 256 T"], removed: Float[Tensor, "B 256 T"], magnitude: Float[Tensor, "B 256 T"]
    ) -> Float[Tensor, "B 256 T"]:
        """Compute P-Net's share of what was removed, from the spectrograms of the sound and of what was removed."""
        pair = torch.cat([logarithm(solo * magnitude), logarithm(removed * magnitude)], dim=1)
        return torch.sigmoid(self.plus(pair).squeeze(1).float()) * removed
