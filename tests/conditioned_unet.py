"""A small U-Net with a conditioned bottleneck, for tests."""

import torch
from torch import nn

from trisep.networks.audio_unet import AudioUNet, UNetConfig


def conditioned_unet(upsampling: str, normalization: str, *, num_outputs: int = 1) -> AudioUNet:
    """In evaluation mode, with four condition channels, its decoder's normalisations far from doing nothing."""
    torch.manual_seed(0)
    widths = {"num_levels": 3, "base_width": 8, "max_width": 12, "out_channels": num_outputs}
    unet = AudioUNet(
        UNetConfig(**widths, upsampling=upsampling, normalization=normalization), condition_channels=4
    ).eval()  # type: ignore[arg-type]
    for name, tensor in unet.up.state_dict(keep_vars=True).items():
        if "running_var" in name or (tensor.dim() == 1 and "weight" in name):
            nn.init.uniform_(tensor, 0.5, 2)
        elif tensor.dim() == 1:
            nn.init.normal_(tensor)
    return unet
