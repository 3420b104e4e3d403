"""Middle fusion: the query's vector is tiled beside the bottleneck. Sources: HFRA Eq. 1; VAST Eq. 4; CLIPSep's public code.

The papers lay the tiled vector before the bottleneck's channels; as in the public code it comes behind them, which only orders weights.

Every layer of the decoder is ReLU → linear map → normalisation, and reads two sets of channels laid side by side: the encoder's map, and
what comes from further in. The linear map of both together is the sum of the linear maps of each, so the encoder's part is computed once
per mixture and only the rest once per vector. That is exact: it equals tiling, concatenating and `AudioUNet.decode` up to rounding, in
value and in gradient, for half the operations where there are many vectors. Nothing here knows where the vectors come from.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.networks.audio_unet import AudioUNet, UpBlock


class SplitDecoder:
    """The decoder of a conditioned U-Net over the maps that it encoded from B mixtures, ready for any number of vectors.

    The U-Net was built with `condition_channels` D. Where its batch normalisation stands in training mode, the statistics are those of all
    vectors of a call together, so that several calls are another function than one: `on_batch_statistics` tells.
    """

    def __init__(self, unet: AudioUNet, maps: list[Float[Tensor, "B _ _ _"]]) -> None:
        """Compute the shared part of every layer, bottleneck first."""
        self.on_batch_statistics = any(isinstance(layer, nn.BatchNorm2d) and layer.training for layer in unet.up.modules())
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

    def __call__(self, vectors: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q K 256 T"]:
        """What `AudioUNet.decode` makes of every vector tiled behind its mixture's bottleneck."""
        rows = vectors.shape[:2]
        x = vectors.flatten(0, 1)[:, :, None, None].expand(-1, -1, *self._size)
        for linear_part, kernel, shared, normalization in self._layers:
            x = linear_part(x.relu(), kernel)
            x = normalization((x.reshape(*rows, *x.shape[1:]) + shared).flatten(0, 1))
        return x.reshape(*rows, *x.shape[1:])
