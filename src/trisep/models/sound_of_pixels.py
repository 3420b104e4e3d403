"""Sound of Pixels (Zhao et al., ECCV 2018), the predecessor of CLIPSep: its queries are frames.

An image network, trained with the rest, embeds the frames. Our deviations: none in the network. The original trains on
randomly cropped and mirrored frames; the loader is responsible for that. The row "SOP" of CLIPSep's tables keeps the
image network frozen and projects its 512 pooled features; this is the original, trained whole. This file knows no
frozen encoder and no loss.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.encoders.resnet import ResNet18, imagenet_normalise
from trisep.errors import ConfigError
from trisep.models import contract_of
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import LateFusion
from trisep.types import MaskOutput, QueryEmbedding


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Configuration of Sound of Pixels.

    The defaults are the paper's (public code: unet7, resnet18dilated, 32 channels).
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    """The audio network; its `out_channels` is k."""
    image_width: int = 64
    """Channels of the image network's first stage; 64 makes it ResNet-18, which ImageNet weights fit."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.image_width < 1:
            raise ConfigError(f"image_width: expected at least 1, got {self.image_width}")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of some ten thousand parameters for tests."""
        return cls(unet=UNetConfig(num_levels=3, base_width=4, max_width=8, out_channels=4), image_width=2)

    def build(self) -> "SoundOfPixels":
        """Build the network with fresh weights drawn from torch's generator.

        The original initialises `image_network` with `load_imagenet`.
        """
        return SoundOfPixels(self)


class SoundOfPixels(nn.Module):
    """Late fusion over the audio U-Net, by features of the frames. All of it is trained."""

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, reads="frames")
        num_masks = config.unet.out_channels
        self.unet = AudioUNet(config.unet)
        self.image_network = ResNet18(width=config.image_width, dilated=True)
        self.image_head = nn.Conv2d(8 * config.image_width, num_masks, 3, padding=1)
        self.fusion = LateFusion(num_masks)

    def query_weights(self, query: QueryEmbedding) -> Float[Tensor, "B Q K"]:
        """Compute `q = sigmoid(max over frames, rows and columns of the k feature maps)`."""
        if query.frames is None:
            raise ConfigError("Sound of Pixels reads frames, and the query carries none")
        shape = query.frames.shape
        features = self.image_head(self.image_network(imagenet_normalise(query.frames.flatten(0, 2))))
        return torch.sigmoid(features.unflatten(0, shape[:3]).amax(dim=(2, 4, 5)))

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T] in [0, 1] and their logits; T is a multiple of `contract.time_multiple`."""
        maps = self.unet.encode(log_magnitude)
        logits = self.fusion.decoded(self.unet, maps, self.query_weights(query)).float()
        return MaskOutput(masks=torch.sigmoid(logits), logits=logits, bottleneck=maps[-1])
