"""Middle fusion: the query meets the sound at the bottleneck. Source: HFRA Eq. 1; CLIPSep's public code has it as a variant."""

import torch
from jaxtyping import Float
from torch import Tensor


def condition_bottleneck(maps: list[Float[Tensor, "B _ _ _"]], vectors: Float[Tensor, "B Q D"]) -> list[Float[Tensor, "BQ _ _ _"]]:
    """`Enc(X) ⊕ Tile(e)`: the encoder's maps once for each query, [B·Q, C, H, T], the innermost one widened by the query's D channels.

    The queries of a mixture stand side by side on the batch axis: row b·Q + q is query q of mixture b. The papers write the tiled query
    first; as in the public code it comes behind the bottleneck's channels, which only orders the decoder's weights.
    """
    num_queries = vectors.shape[1]
    repeated = [one.repeat_interleave(num_queries, dim=0) if num_queries > 1 else one for one in maps]
    tiled = vectors.flatten(0, 1)[:, :, None, None].expand(-1, -1, *maps[-1].shape[2:])
    return [*repeated[:-1], torch.cat([repeated[-1], tiled.to(repeated[-1].dtype)], dim=1)]


def per_query(maps: Float[Tensor, "BQ 1 F T"], num_queries: int) -> Float[Tensor, "B Q F T"]:
    """Undo the order of `condition_bottleneck`: the single map of each row, back beside those of its mixture's other queries."""
    return maps.reshape(-1, num_queries, *maps.shape[2:])
