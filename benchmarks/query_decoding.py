"""Hierarchical fusion, decoder split against tiled: what several queries of one mixture cost. Prints one table of
ratios.

    OMP_NUM_THREADS=1 python benchmarks/query_decoding.py [--queries 1 2 4 16] [--frames 128] [--batch 4] [--repeats 5]

Times are processor seconds of the whole network, the least of the repeats, both ways in turn in one process.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from trisep.models.hfra import HFRA, Config
from trisep.networks import fusion
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import SplitDecoder
from trisep.types import QueryEmbedding


class TiledDecoder:
    """The straightforward way: tile every vector beside its mixture's bottleneck, and decode each in full."""

    def __init__(self, unet: AudioUNet, maps: list[Tensor]) -> None:
        """Nothing is shared."""
        self.unet, self.maps = unet, maps

    def __call__(self, vectors: Tensor, weights: Tensor | None = None) -> Tensor:
        """As `SplitDecoder`, after all output maps were computed; without weights there is one."""
        *skips, bottleneck = (one.repeat_interleave(vectors.shape[1], dim=0) for one in self.maps)
        tiled = vectors.flatten(0, 1)[:, :, None, None].expand(-1, -1, *bottleneck.shape[2:])
        maps = self.unet.decode([*skips, torch.cat([bottleneck, tiled], dim=1)]).unflatten(0, vectors.shape[:2])
        return maps[:, :, 0] if weights is None else torch.einsum("bqk,bqkft->bqft", weights.to(maps.dtype), maps)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 2, 4, 16])
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = (
        Config(embedding_dim=384, unet=replace(UNetConfig(), base_width=32, max_width=256))
        .build()
        .to(memory_format=torch.channels_last)
    )
    picture = torch.randn(arguments.batch, 1, 256, arguments.frames) * 3 - 5
    print("| queries | what | tiled, s | split, s | ratio | largest difference of a mask |\n|---|---|---|---|---|---|")
    for num_queries in arguments.queries:
        query = QueryEmbedding(vectors=torch.randn(arguments.batch, num_queries, 384))
        for title, way in (("separation", separate), ("training step", train_step)):
            tiled, split, masks = measure(way, model, picture, query, arguments.repeats)
            difference = float((masks[0] - masks[1]).abs().max())
            print(
                f"| {num_queries} | {title} | {tiled:.3f} | {split:.3f} | {tiled / split:.2f} | {difference:.1e} |",
                flush=True,
            )


def separate(model: HFRA, picture: Tensor, query: QueryEmbedding) -> Tensor:
    """Masks alone, in single precision."""
    with torch.inference_mode():
        return model.eval()(picture, query).masks


def train_step(model: HFRA, picture: Tensor, query: QueryEmbedding) -> Tensor:
    """Forward in bf16 and backward, batch statistics and all."""
    model.train().zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        masks = model(picture, query).masks
    masks.mean().backward()
    return masks.detach()


def measure(
    way: Callable[[HFRA, Tensor, QueryEmbedding], Tensor],
    model: HFRA,
    picture: Tensor,
    query: QueryEmbedding,
    repeats: int,
) -> tuple[float, float, tuple[Tensor, Tensor]]:
    """Least processor seconds of either decoder, and their masks."""
    seconds: dict[type, list[float]] = {TiledDecoder: [], SplitDecoder: []}
    masks: dict[type, Tensor] = {}
    for _ in range(repeats):
        for decoder, taken in seconds.items():
            fusion.SplitDecoder = decoder  # type: ignore[misc,assignment]
            begun = time.process_time()
            masks[decoder] = way(model, picture, query)
            taken.append(time.process_time() - begun)
    fusion.SplitDecoder = SplitDecoder  # type: ignore[misc]
    return min(seconds[TiledDecoder]), min(seconds[SplitDecoder]), (masks[TiledDecoder], masks[SplitDecoder])


if __name__ == "__main__":
    main()
