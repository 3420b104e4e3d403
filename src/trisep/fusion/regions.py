"""Multiple-instance masks: every region of a picture gets a mask of its own, and they are summed. Source: VAST Eq. 4."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trisep.errors import ConfigError
from trisep.fusion.middle import SplitDecoder


def summed_masks(decoder: SplitDecoder, regions: Float[Tensor, "B Q R D"], chunk_regions: int) -> Float[Tensor, "B Q 256 T"]:
    """Σ over R of each region's mask, sigmoid of its logit, in float32: 0 to R (VAST Eq. 4 before the mean over frames).

    At most `chunk_regions` regions, counted over all mixtures and queries (or one of each query, if that is more), are decoded at once.
    Where gradients are asked for and there is more than one chunk, each is computed again in the backward pass, so that the activations
    of one chunk alone are in memory. The decoder has one output, and no batch statistics: ConfigError where it has.
    """
    if decoder.on_batch_statistics:
        reason = "a decoder that is run region by region cannot be trained on batch statistics"
        raise ConfigError(f"unet.normalization: {reason}; set it to 'channel', or put the decoder's normalisations in eval mode")

    def part(chunk: Tensor) -> Tensor:
        """Sum over one chunk of regions [B, Q, R, D]: [B, Q, 256, T]."""
        masks = decoder(chunk.flatten(1, 2)).squeeze(2).float().sigmoid()
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
