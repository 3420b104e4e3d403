"""The fusion of query and sound: late, middle and hierarchical fusion, and summed region masks.

`LateFusion` weighs the k intermediate masks of the network by the query (Sound of Pixels; CLIPSep, section 3.1).
`SplitDecoder` is middle fusion: the vector of the query is tiled beside the bottleneck (HFRA Eq. 1; VAST Eq. 4;
CLIPSep's public code). `HierarchicalFusion` does both (HFRA Eq. 5) and may modulate every layer in between.
`summed_masks` adds up one mask per region of a picture (VAST Eq. 4).

The papers put the tiled vector before the channels of the bottleneck; here it comes behind them, as in the public code,
which only orders weights. Every layer of the decoder is ReLU → linear map → normalisation and reads two sets of
channels side by side: the map of the encoder, and the output of the layer further in. The linear map of both together
is the sum of the linear maps of each, so the part of the encoder is computed once per mixture and only the rest once
per vector. This is exact: it equals tiling, concatenating and `AudioUNet.decode` up to rounding, in value and in
gradient, for half the operations where there are many vectors. Nothing here knows where the vectors come from.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trisep.errors import ConfigError
from trisep.networks import gradients
from trisep.networks.audio_unet import AudioUNet, UpBlock
from trisep.networks.halving import doubled_rows
from trisep.networks.strips import strips_of

ScaleAndShift = tuple[Float[Tensor, "B Q _"], Float[Tensor, "B Q _"]]
"""One number each for every channel of a layer, by query."""


class SplitDecoder:
    """The decoder of a conditioned U-Net over the encoded maps of B mixtures, ready for any number of vectors.

    The U-Net was built with `condition_channels` D. Where its batch normalisation is in training mode, the statistics
    are those of all vectors of one call. Several calls then compute another function than one; `on_batch_statistics` is
    true in that case.
    """

    def __init__(self, unet: AudioUNet, maps: list[Float[Tensor, "B _ _ _"]], *, once: bool = False) -> None:
        """Compute the shared part of every layer, bottleneck first.

        With `once`, a decoder that is called a single time computes the part of each layer when it comes to it, and
        lets go of it afterwards: all of them together are half of the memory that the network needs.
        """
        self.on_batch_statistics = any(
            isinstance(layer, nn.BatchNorm2d) and layer.training for layer in unet.up.modules()
        )
        self._size, self._maps = maps[-1].shape[2:], maps
        *inner, self._last = unet.up_blocks
        self._outer = inner[-1]
        is_transposed = isinstance(self._last.convolution, nn.ConvTranspose2d)
        can_be_cut = is_transposed and maps[1].shape[-1] > 1 and not self.on_batch_statistics
        self._strips = strips_of(maps[0]) if can_be_cut else []
        if len(self._strips) > 1:
            inner.pop()  # `_in_strips` computes this layer and the last one
        self._num_inner = len(inner)
        pairs = zip(inner, reversed(maps[len(maps) - len(inner) :]), strict=True)
        layers = (_shared_layer(block, own) for block, own in pairs)
        self._layers: Iterable[_SharedLayer] = layers if once else list(layers)

    def _inner(self, vectors: Float[Tensor, "B Q D"], modulation: Sequence[ScaleAndShift]) -> Float[Tensor, "R C _ _"]:
        """Decode every vector, tiled behind the bottleneck of its mixture, by all layers but those that come last."""
        x = vectors.flatten(0, 1)[:, :, None, None].expand(-1, -1, *self._size)
        x = x.contiguous(memory_format=torch.channels_last)
        x, number = x.relu(), 0
        for layer in self._layers:  # `enumerate` would keep each layer until it has the next
            x = _with_shared(layer.linear_part(x, layer.kernel), layer.shared)
            x = _activated(x, layer.normalization, _of_layer(modulation, number))
            number += 1
            del layer
        assert number == self._num_inner, "a decoder that was made for one call is called again"
        return x

    def __call__(
        self,
        vectors: Float[Tensor, "B Q D"],
        weights: Float[Tensor, "B Q K"] | None = None,
        modulation: Sequence[ScaleAndShift] = (),
    ) -> Float[Tensor, "B Q 256 T"]:
        """Decode every vector as `AudioUNet.decode` would, and return the sum of the K output maps, in float32.

        `weights` weighs the maps of the sum. `modulation` holds a scale and a shift for every layer but the last, which
        act on its normalised output as `(1 + scale) · x + shift`. The last layer is linear, and so is the sum: the sum
        is therefore taken over its kernels, and the K maps are never computed. This is exact and takes a K-th of the
        work of that layer, which has the largest maps of all.
        """
        x, block, outermost = self._inner(vectors, modulation), self._last, self._maps[0]
        rows = vectors.shape[:2]
        if weights is None:
            weights = vectors.new_ones(*rows, block.convolution.out_channels)
        own_kernel, kernel = _split_kernel(block, block.convolution.weight, outermost.shape[1])
        own_kernels = block.summed_kernels(own_kernel, weights)
        kernels = block.summed_kernels(kernel, weights).flatten(0, 1).unsqueeze(1)
        if len(self._strips) > 1:
            sums = self._in_strips(x, kernels, own_kernels, _of_layer(modulation, self._num_inner))
        else:
            sums = block.sums((x, kernels), (outermost.relu(), own_kernels))
        return sums.view(*rows, *sums.shape[1:]) + block.summed_bias(weights)

    def _in_strips(
        self,
        x: Float[Tensor, "R C 64 T4"],
        kernels: Float[Tensor, "R 1 _ k k"],
        own_kernels: Float[Tensor, "B Q _ k k"],
        modulation: Sequence[Float[Tensor, "R _"]],
    ) -> Float[Tensor, "R 256 T"]:
        """Compute the last two layers in strips of rows, from the input of the first of them.

        What lies between them is the largest map of all, once for each vector and once for all of them.
        """
        outermost, own = self._maps[:2]
        whole, bias, normalization = self._outer.folded()
        own_kernel, kernel = _split_kernel(self._outer, whole, own.shape[1])
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        sums: Tensor | None = None
        for strip in self._strips:
            shared = doubled_rows(own, strip, own_kernel, bias).unsqueeze(1)
            part = _activated(_with_shared(doubled_rows(x, strip, kernel), shared), normalization, modulation)
            taps = self._last.taps(part, kernels).flatten(0, 1)
            taps += self._last.taps(outermost[:, :, strip[0] : strip[1]].relu(), own_kernels).flatten(0, 1)
            folded = self._last.fold_taps(taps, of_strip=True)
            if sums is None:
                sums = folded.new_zeros(len(x), 2 * outermost.shape[2] + 2, folded.shape[2])
            sums[:, 2 * strip[0] : 2 * strip[1] + 2] += folded
        assert sums is not None
        return sums[:, 1:-1]


class _SharedLayer(NamedTuple):
    """A layer of the decoder, its part of the encoder's map computed."""

    linear_part: Callable[[Tensor, Tensor], Tensor]
    kernel: Float[Tensor, "_ _ _ _"]
    """Of the channels that come from the layer further in."""
    shared: Float[Tensor, "B 1 C H W"]
    normalization: nn.Module


def _shared_layer(block: UpBlock, own: Float[Tensor, "B C H W"]) -> _SharedLayer:
    """Compute what all vectors share of a layer, from the map of the encoder."""
    whole, bias, normalization = block.folded()
    own_kernel, kernel = _split_kernel(block, whole, own.shape[1])
    shared = block.linear_part(own.relu(), own_kernel, bias).unsqueeze(1)
    return _SharedLayer(block.linear_part, kernel.contiguous(memory_format=torch.channels_last), shared, normalization)


def _with_shared(x: Float[Tensor, "R C H W"], shared: Float[Tensor, "B 1 C H W"]) -> Float[Tensor, "R C H W"]:
    """Add to each of the R = B · Q maps the one that the Q maps of its mixture share."""
    if gradients.pays(x):
        return gradients.with_shared(x, shared)
    x.view(len(shared), -1, *x.shape[1:]).add_(shared)
    return x


def _of_layer(modulation: Sequence[ScaleAndShift], layer: int) -> list[Float[Tensor, "R C"]]:
    """Return scale and shift of a layer for every row; nothing where there is no modulation."""
    return [part.flatten(0, 1) for part in modulation[layer]] if modulation else []


def _activated(
    x: Float[Tensor, "R C H W"], normalization: nn.Module, modulation: Sequence[Float[Tensor, "R C"]]
) -> Float[Tensor, "R C H W"]:
    """Normalise, scale and shift where there is a modulation, and apply the ReLU in place."""
    if modulation and gradients.pays(x) and isinstance(normalization, nn.BatchNorm2d) and normalization.training:
        scale, shift = modulation
        return gradients.modulated_relu(x, normalization, scale, shift)
    x = normalization(x)
    if modulation:
        scale, shift = (part[:, :, None, None].to(x.dtype) for part in modulation)
        x = torch.addcmul(shift, x, 1 + scale, out=x if torch.is_inference_mode_enabled() else None)
    return x.relu_()


def _split_kernel(
    block: UpBlock, kernel: Float[Tensor, "_ _ _ _"], num_own: int
) -> tuple[Float[Tensor, "_ _ _ _"], Float[Tensor, "_ _ _ _"]]:
    """Split a kernel of a layer by its input: the channels of the encoder's map, then the others."""
    in_axis = 0 if isinstance(block.convolution, nn.ConvTranspose2d) else 1
    own, others = torch.split(kernel, [num_own, kernel.shape[in_axis] - num_own], dim=in_axis)
    return own, others


class LateFusion(nn.Module):
    """`logit = Σ_j w_j q_j M̃_j + b` with a learned scale w [k] and bias b.

    The equation of the paper can be read with the sum outside the sigmoid, which leaves [0, 1]; the public code
    sums inside, as here.
    """

    def __init__(self, num_channels: int) -> None:
        """Build the layers; `num_channels` is k, the number of intermediate masks."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(
        self, intermediate: Float[Tensor, "B K 256 T"], weights: Float[Tensor, "B Q K"]
    ) -> Float[Tensor, "B Q 256 T"]:
        """Compute one map of logits per query."""
        flat = torch.bmm((weights * self.scale).to(intermediate.dtype), intermediate.flatten(2))
        return flat.view(*flat.shape[:2], *intermediate.shape[2:]) + self.bias

    def decoded(
        self, unet: AudioUNet, maps: list[Float[Tensor, "B _ _ _"]], weights: Float[Tensor, "B Q K"]
    ) -> Float[Tensor, "B Q 256 T"]:
        """Compute `forward` of `unet.decode(maps)` without the k maps, which is exact (`AudioUNet.decode_sums`)."""
        return unet.decode_sums(maps, weights * self.scale) + self.bias


class Modulation(nn.Module):
    """A scale and a shift of every channel, linear in the query (FiLM, Perez et al. 2018). Both are 0 at first.

    The query is divided by √D, so that a step of the optimiser changes them little, however long queries are.
    """

    def __init__(self, embedding_dim: int, num_channels: int) -> None:
        """Build the projection."""
        super().__init__()
        self.projection = nn.Linear(embedding_dim, 2 * num_channels)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, vectors: Float[Tensor, "B Q D"]) -> ScaleAndShift:
        """Compute scale and shift."""
        # The kernel is divided instead of the query: onnxruntime 1.32 fuses a query's scale into the products wrongly
        # where something else reads the query, too.
        kernel = self.projection.weight / math.sqrt(vectors.shape[-1])
        scale, shift = nn.functional.linear(vectors, kernel, self.projection.bias).chunk(2, dim=-1)
        return scale, shift


class HierarchicalFusion(nn.Module):
    """`Proj₁(e) ⊙ Dec(tile(Proj₂(e)) ⊕ Enc(X))`; `LateFusion` sums the k channels that remain.

    Both projections are single linear layers. The equation ends with k channels; summing them with a learned scale and
    a bias, as in CLIPSep, is our reading. With `modulated`, the query also scales and shifts the channels of every
    layer of the decoder (ours).
    """

    def __init__(
        self,
        embedding_dim: int,
        condition_channels: int,
        num_masks: int,
        *,
        squash: bool,
        modulated: Sequence[int] = (),
    ) -> None:
        """Build both projections; `condition_channels` is the width of Proj₂, `num_masks` is k, the width of Proj₁.

        `squash` passes both through a sigmoid. `modulated` are the widths of the decoder's layers but the last, where
        the query acts on each of them, too.
        """
        super().__init__()
        self.late_projection = nn.Linear(embedding_dim, num_masks)
        self.middle_projection = nn.Linear(embedding_dim, condition_channels)
        self.late = LateFusion(num_masks)
        self.squash = squash
        self.modulation = nn.ModuleList(Modulation(embedding_dim, width) for width in modulated)

    def forward(
        self, unet: AudioUNet, maps: list[Float[Tensor, "B _ _ _"]], vectors: Float[Tensor, "B Q D"]
    ) -> Float[Tensor, "B Q 256 T"]:
        """Compute one map of logits per query.

        `unet` was built with this fusion's `condition_channels`, and `maps` is the output of its encoder.
        """
        weights, condition = self.late_projection(vectors), self.middle_projection(vectors)
        if self.squash:
            weights, condition = torch.sigmoid(weights), torch.sigmoid(condition)
        modulation = [layer(vectors) for layer in self.modulation]
        return SplitDecoder(unet, maps, once=True)(condition, weights * self.late.scale, modulation) + self.late.bias


def summed_masks(
    decoder: SplitDecoder,
    regions: Float[Tensor, "B Q R D"],
    chunk_regions: int,
    weights: Float[Tensor, "B Q R"] | None = None,
) -> Float[Tensor, "B Q 256 T"]:
    """Sum the masks of the R regions, each the sigmoid of its logit, in float32: 0 to R. `weights` weighs them.

    This is VAST Eq. 4 before the mean over frames. At most `chunk_regions` regions, counted over all mixtures and
    queries (or one of each query, if that is more), are decoded at once. Where gradients are needed and there is more
    than one chunk, each chunk is computed again in the backward pass, so that only the activations of one chunk are in
    memory. The decoder must have one output and no batch statistics; ConfigError where it runs on batch statistics.
    """
    if decoder.on_batch_statistics:
        reason = "a decoder that is run region by region cannot be trained on batch statistics"
        raise ConfigError(
            f"unet.normalization: {reason}; set it to 'channel', or put the decoder's normalisations in eval mode"
        )

    def part(chunk: Tensor, weight: Tensor | None) -> Tensor:
        """Sum the masks of one chunk of regions [B, Q, R, D]: [B, Q, 256, T]."""
        masks = decoder(chunk.flatten(1, 2)).sigmoid()
        masks = masks.reshape(*chunk.shape[:3], *masks.shape[2:])
        return (masks if weight is None else masks * weight[..., None, None]).sum(dim=2)

    size = max(1, chunk_regions // (regions.shape[0] * regions.shape[1]))
    chunks = torch.split(regions, size, dim=2)
    split_weights = [None] * len(chunks) if weights is None else torch.split(weights, size, dim=2)
    pairs = zip(chunks, split_weights, strict=True)
    if len(chunks) == 1 or not torch.is_grad_enabled():
        parts = (part(*pair) for pair in pairs)
    else:
        parts = (checkpoint(part, *pair, use_reentrant=False, preserve_rng_state=False) for pair in pairs)
    total = next(parts)
    for one in parts:
        total = total + one
    return total
