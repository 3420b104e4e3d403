"""Co-Separation (Gao & Grauman, ICCV 2019): one mask for each detected object, whose sum is the mask of the video.

An image network embeds what each box cuts out, its vector is tiled beside the bottleneck of the audio U-Net, and a
classifier listens to what was separated: it should be the class that the detector saw (object consistency). All three
are trained. This file knows no detector and no loss.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trisep.encoders.resnet import ResNet18, imagenet_normalise
from trisep.errors import ConfigError
from trisep.models import contract_of
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import SplitDecoder
from trisep.networks.narrow import single_precision_if
from trisep.spectrogram import log_frequency
from trisep.types import MaskOutput, Parts, QueryEmbedding

_GRID = 7
"""Rows and columns of ResNet-18's features of a picture of 224 × 224 pixels."""
_STRIDE = 32
"""Frames of a spectrogram that one of ResNet-18's features stands for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Configuration of Co-Separation. The defaults are the paper's and the public code's."""

    num_labels: int = 16
    """Classes of the detector, and one more for a whole picture in which nothing was detected."""
    num_boxes: int = 2
    """Largest number of objects of a video."""
    object_channels: int = 512
    """Dimension of the vector of an object."""
    unet: UNetConfig = field(default_factory=lambda: UNetConfig(upsampling="transposed", out_channels=1))
    """The audio network; its one output is the logit of a mask."""
    image_width: int = 64
    """Channels of the first stage of both ResNets, that of pictures and that of sounds; 64 makes them ResNet-18."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_boxes(self)
        if min(self.object_channels, self.image_width) < 1:
            raise ConfigError("object_channels and image_width must be at least 1")

    @classmethod
    def tiny(cls) -> "Config":
        """Configure a network of some ten thousand parameters for tests."""
        unet = UNetConfig(num_levels=3, base_width=4, max_width=8, upsampling="transposed", out_channels=1)
        return cls(num_labels=4, object_channels=8, unet=unet, image_width=1)

    def build(self) -> "CoSeparation":
        """Build the network with fresh weights drawn from torch's generator.

        The original initialises `image_network` with ImageNet's (`--init resnet18-….pth`).
        """
        return CoSeparation(self)


def check_boxes(config: Any) -> None:
    """Raise ConfigError for settings that no model of boxes can have."""
    for name in ("num_labels", "num_boxes"):
        if (number := getattr(config, name)) < 1:
            raise ConfigError(f"{name}: expected at least 1, got {number}")
    if (channels := config.unet.out_channels) != 1:
        raise ConfigError(f"unet.out_channels: the decoder makes the mask itself, so expected 1, got {channels}")


class CoSeparation(nn.Module):
    """The audio U-Net with the vector of each object tiled beside its bottleneck.

    Our deviations: the U-Net is that of the other systems (no bias before a normalisation, none at the first and the
    last level of the encoder). The scene image that the original adds to a noisy video is left out.
    """

    def __init__(self, config: Config) -> None:
        """Build the layers."""
        super().__init__()
        self.config = config
        self.contract = contract_of(config.unet, reads="cuts")
        self.unet = AudioUNet(config.unet, condition_channels=config.object_channels)
        self.image_network = ResNet18(width=config.image_width)
        features, reduced = 8 * config.image_width, 2 * config.image_width
        self.image_head = nn.Sequential(
            nn.Conv2d(features, reduced, 1),
            nn.BatchNorm2d(reduced),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(_GRID),
            nn.Flatten(),
            nn.Linear(reduced * _GRID**2, config.object_channels),
        )
        self.classifier = SoundClassifier(config.num_labels, config.image_width)

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"], query: QueryEmbedding) -> MaskOutput:
        """Compute masks [B, Q, 256, T], each the sum over its objects, without logits; and, in training, the parts.

        Of several boxes of one class, the first is the object. T is a multiple of `contract.time_multiple`. Sums may
        exceed 1; outside training they are clamped.
        """
        if query.box_labels is None or query.frames is None:
            raise ConfigError("Co-Separation reads the pictures of boxes, and the query carries none")
        pictures = imagenet_normalise(query.frames.flatten(0, 2))
        labels = query.box_labels.masked_fill(is_repeated(query.box_labels), -1)
        vectors = self.image_head(self.image_network(pictures)).unflatten(0, labels.shape)
        maps = self.unet.encode(log_magnitude)
        part_masks = masks_of_parts(self.unet, maps, vectors, labels)
        return summed_parts(self, log_magnitude, part_masks, labels, vectors, maps[-1])


class SoundClassifier(nn.Module):
    """ResNet-18 on a log-magnitude spectrogram, its features' maximum over frequency and time, and a linear layer."""

    def __init__(self, num_labels: int, width: int = 64) -> None:
        """Build the layers; `width` is that of the first stage."""
        super().__init__()
        self.network = ResNet18(width=width, in_channels=1)
        self.head = nn.Linear(8 * width, num_labels)

    def forward(self, log_magnitude: Float[Tensor, "B 1 256 T"]) -> Float[Tensor, "B L"]:
        """Compute the logits of the labels."""
        with single_precision_if(log_magnitude.shape[-1] <= _STRIDE):
            logits: Tensor = self.head(self.network(log_magnitude.float()).amax(dim=(2, 3)))
        return logits


def is_repeated(labels: Int[Tensor, "B Q K"]) -> Bool[Tensor, "B Q K"]:
    """Return which labels of a query stand before in the same query."""
    return (labels.unsqueeze(-1) == labels.unsqueeze(-2)).tril(-1).any(dim=-1)


def masks_of_parts(
    unet: AudioUNet,
    maps: list[Float[Tensor, "B _ _ _"]],
    vectors: Float[Tensor, "B Q P D"],
    labels: Int[Tensor, "B Q P"],
) -> Float[Tensor, "B Q P 256 T"]:
    """Decode the vector of each part to a mask in [0, 1]; parts whose label is −1 have a mask of 0.

    Under batch normalisation, such a part is decoded from the vector of its query's first part, so that the statistics
    see real objects only.
    """
    is_there = (labels >= 0).unsqueeze(-1)
    real = torch.where(is_there, vectors, vectors[:, :, :1]).float()
    logits = SplitDecoder(unet, maps, once=True)(real.flatten(1, 2)).float()
    masks: Tensor = torch.sigmoid(logits).view(*labels.shape, *logits.shape[2:])
    return masks * is_there.unsqueeze(-1)


def summed_parts(
    model: nn.Module,
    log_magnitude: Float[Tensor, "B 1 256 T"],
    part_masks: Float[Tensor, "B Q P 256 T"],
    labels: Int[Tensor, "B Q P"],
    vectors: Float[Tensor, "B Q P D"],
    bottleneck: Float[Tensor, "B C H T2"],
) -> MaskOutput:
    """Sum the masks of each query's parts; in training, `model.classifier` also names what each part sounds like."""
    masks = part_masks.sum(dim=2)
    if not model.training:
        return MaskOutput(masks=masks.clamp(0, 1), bottleneck=bottleneck)
    mixture = log_magnitude.float().exp().unsqueeze(1)
    sounds = log_frequency.log_magnitude((part_masks * mixture).flatten(0, 2))
    assert isinstance(model.classifier, SoundClassifier)
    label_logits = model.classifier(sounds).float().unflatten(0, labels.shape)
    return MaskOutput(masks=masks, bottleneck=bottleneck, parts=Parts(labels, label_logits, vectors))
