"""Middle fusion of many vectors with one sound: the decoder split in what all of them share and what each brings. Source: VAST Eq. 4.

Every layer of the decoder is ReLU → linear map → normalisation, and reads two sets of channels laid side by side: the encoder's map, and
what comes from further in. The linear map of both together is the sum of the linear maps of each, so the encoder's part is computed once
per mixture and only the rest once per region. That is exact: it equals `condition_bottleneck` with `AudioUNet.decode` up to rounding, in
value and in gradient, for half the operations and a fraction of the memory traffic. Nothing here knows where the vectors come from.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trisep.errors import ConfigError
from trisep.networks.audio_unet import AudioUNet, UpBlock


class SplitDecoder:
    """The decoder of a conditioned U-Net over the maps that it encoded from B mixtures, ready for any number of vectors.

    The U-Net was built with `condition_channels` D. Batch normalisation is run on its running statistics alone: over chunks of regions
    its batch statistics would be another function, so a layer of it that stands in training mode raises ConfigError.
    """

    def __init__(self, unet: AudioUNet, maps: list[Float[Tensor, "B _ _ _"]]) -> None:
        """Compute the shared part of every layer, bottleneck first."""
        if any(isinstance(layer, nn.BatchNorm2d) and layer.training for layer in unet.up.modules()):
            reason = "a decoder that is run region by region cannot be trained on batch statistics"
            raise ConfigError(f"unet.normalization: {reason}; set it to 'channel', or put the decoder's normalisations in eval mode")
        self._size = maps[-1].shape[2:]
        self._layers = []
        for block, own in zip(unet.up, reversed(maps), strict=True):
            assert isinstance(block, UpBlock)
            convolution = block.convolution
            in_axis = 0 if isinstance(convolution, nn.ConvTranspose2d) else 1
            num_others = convolution.in_channels - own.shape[1]
            own_kernel, kernel = torch.split(convolution.weight, [own.shape[1], num_others], dim=in_axis)
            shared = block.linear_part(own.relu(), own_kernel)
            if convolution.bias is not None:
                shared = shared + convolution.bias[:, None, None].to(shared.dtype)
            normalization = block[-1] if block[-1] is not convolution else nn.Identity()
            self._layers.append((block.linear_part, kernel.contiguous(), shared.unsqueeze(1), normalization))

    def __call__(self, vectors: Float[Tensor, "B R D"]) -> Float[Tensor, "B R 256 T"]:
        """The map of every vector over its mixture; the decoder has one output."""
        rows = vectors.shape[:2]
        x = vectors.flatten(0, 1)[:, :, None, None].expand(-1, -1, *self._size)
        for linear_part, kernel, shared, normalization in self._layers:
            x = linear_part(x.relu(), kernel)
            x = normalization((x.reshape(*rows, *x.shape[1:]) + shared).flatten(0, 1))
        return x.reshape(*rows, *x.shape[2:])


def summed_masks(decoder: SplitDecoder, regions: Float[Tensor, "B Q R D"], chunk_regions: int) -> Float[Tensor, "B Q 256 T"]:
    """Σ over R of each region's mask, sigmoid of its logit, in float32: 0 to R (VAST Eq. 4 before the mean over frames).

    At most `chunk_regions` regions, counted over all mixtures and queries (or one of each query, if that is more), are decoded at once.
    Where gradients are asked for and there is more than one chunk, each is computed again in the backward pass, so that the activations
    of one chunk alone are in memory.
    """

    def part(chunk: Tensor) -> Tensor:
        """Sum over one chunk of regions [B, Q, R, D]: [B, Q, 256, T]."""
        masks = decoder(chunk.flatten(1, 2)).float().sigmoid()
        return masks.reshape(*chunk.shape[:3], *masks.shape[2:]).sum(dim=2)

    chunks = torch.split(regions, max(1, chunk_regions // (regions.shape[0] * regions.shape[1])), dim=2)
    if len(chunks) == 1 or not torch.is_grad_enabled():
        parts = (part(chunk) for chunk in chunks)
    else:
        parts = (checkpoint(part, chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks)
    total = next(parts)
    for one in parts:
        total = total + one
    return total
