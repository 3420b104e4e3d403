"""Latent captions: seconds a clip, the cosine reached against a search that never stops early, and what batching and
short context bring.

    OMP_NUM_THREADS=1 python benchmarks/latent_captions.py --data STORE [--clips 20] [--long-iterations 5000] \
        [--tower-long-iterations 5000]
    OMP_NUM_THREADS=1 python benchmarks/latent_captions.py --full-size --precision bf16

First the encoder `lite` on clips of an embedded store, drawn by a seed; then a word tower of CLIP ViT-B/32's size
(width 512, 12 layers, 77 positions) with random weights, whose "pictures" are the embeddings of random words with as
much noise again; with `--full-size` the tower of VAST's CLIP, whose space has 1024 dimensions, with its whole
vocabulary. "Paper's way" is one picture at a time, 77 positions, 5000 iterations: a few of its iterations are timed
and multiplied. Times are processor seconds of one thread, which a busy machine does not stretch as it does the clock's.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from trisep.encoders import SharedEncoder, load_encoder
from trisep.encoders.clip_towers import CLIPNetwork, VisionTransformer
from trisep.queries.captions import CaptionSettings, LatentCaptions, find_captions, sample_words
from trisep.store.captions import middle_frame
from trisep.store.read import ClipStore

PAPER_ITERATIONS = 5000
CONTEXT = 77
VOCABULARY = 4096
Result = TypeVar("Result")


class RandomTower:
    """A word tower of CLIP's size with random weights; as much of the encoder as the search asks for."""

    def __init__(
        self,
        num_layers: int,
        num_positions: int | None = None,
        *,
        embedding_dim: int = 512,
        vocabulary: int = VOCABULARY,
        precision: str = "fp32",
    ) -> None:
        """`num_positions` are computed; where None, as many as are needed: the free tokens and two."""
        torch.manual_seed(0)
        visual = VisionTransformer(
            patch=32, grid=1, width=64, num_layers=1, num_heads=1, embedding_dim=embedding_dim, quick_gelu=True
        )
        sizes = {"vocabulary": vocabulary, "context": CONTEXT, "width": 512, "num_heads": 8}
        sizes["embedding_dim"] = embedding_dim
        self.network = CLIPNetwork(visual, **sizes, num_layers=num_layers, quick_gelu=True).requires_grad_(False)
        for name, value in self.network.named_parameters():
            if name in ("token_embedding.weight", "positional_embedding"):
                value.normal_(std=0.02)
            elif value.ndim == 2:
                value.normal_(std=value.shape[1] ** -0.5)
            elif name.endswith("bias"):
                value.zero_()
        self.token_table, self.num_positions = self.network.token_embedding.weight.clone(), num_positions
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.network.to(self.dtype)

    def encode_tokens(self, token_embeddings: Tensor) -> Tensor:
        """As `CLIPEncoder.encode_tokens`, and with padding after the end token where the context is whole."""
        num_rows, num_free, width = token_embeddings.shape
        start, end = (row.expand(num_rows, 1, -1) for row in self.token_table[-2:])
        padding = torch.zeros(num_rows, (self.num_positions or num_free + 2) - num_free - 2, width)
        ends = torch.full((num_rows,), num_free + 1)
        tokens = torch.cat([start, token_embeddings, end, padding], dim=1)
        return self.network.read_tokens(tokens.to(self.dtype), ends).float()


def main() -> None:
    """Measure both encoders and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--alone", type=int, default=4, help="pictures sought one at a time")
    parser.add_argument(
        "--long-iterations", type=int, default=PAPER_ITERATIONS, help="of the search that never stops, with lite"
    )
    parser.add_argument("--tower-clips", type=int, default=32)
    parser.add_argument("--tower-layers", type=int, default=12)
    parser.add_argument("--tower-long-clips", type=int, default=4)
    parser.add_argument(
        "--tower-long-iterations", type=int, default=500, help="of the search that never stops, with the random tower"
    )
    parser.add_argument("--slow-iterations", type=int, default=5, help="iterations of the paper's way that are timed")
    parser.add_argument(
        "--full-size", action="store_true", help="the tower of VAST's CLIP: 1024 dimensions, 49408 words"
    )
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the random tower")
    arguments = parser.parse_args()
    if arguments.data is not None:
        encoder = load_encoder("lite")
        pictures = draw_pictures(ClipStore(arguments.data), arguments.clips)
        measure(
            encoder,
            "lite",
            pictures,
            num_alone=arguments.alone,
            num_long=len(pictures),
            long_iterations=arguments.long_iterations,
        )
    size: dict[str, Any] = {"embedding_dim": 1024, "vocabulary": 49408} if arguments.full_size else {}
    tower = RandomTower(arguments.tower_layers, **size, precision=arguments.precision)
    pictures = noisy_words(tower, arguments.tower_clips)
    seconds = measure(
        tower,
        "random tower",
        pictures,
        num_alone=arguments.alone,
        num_long=arguments.tower_long_clips,
        long_iterations=arguments.tower_long_iterations,
    )
    padded = RandomTower(arguments.tower_layers, CONTEXT, **size, precision=arguments.precision)
    settings = CaptionSettings(max_iterations=arguments.slow_iterations, min_rise=-1.0)
    words = sample_words(tower, settings)
    _, slow = timed(lambda: find_captions(padded, pictures[:1], settings, words=words))
    per_picture = slow / arguments.slow_iterations * PAPER_ITERATIONS
    print(
        f"| random tower | paper's way, s a picture (extrapolated from {arguments.slow_iterations} iterations) | "
        f"{per_picture:.0f} |"
    )
    print(f"| random tower | ratio per picture, paper's way to ours | {per_picture / seconds:.0f} |")


def measure(
    encoder: SharedEncoder, name: str, pictures: Tensor, *, num_alone: int, num_long: int, long_iterations: int
) -> float:
    """Print one encoder's rows; the seconds a picture takes in a batch are returned, without the sample of words."""
    settings = CaptionSettings()
    words, word_seconds = timed(lambda: sample_words(encoder, settings))
    found, seconds = timed(lambda: find_captions(encoder, pictures, settings, words=words))
    alone, alone_seconds = timed(
        lambda: [find_captions(encoder, one[None], settings, words=words) for one in pictures[:num_alone]]
    )
    one_by_one, batched = per_iteration(alone, alone_seconds), per_iteration([found], seconds)
    rows = {
        f"s for the sample of {settings.num_words} words, once a run": f"{word_seconds:.1f}",
        f"s a picture, {len(pictures)} at once": f"{seconds / len(pictures):.3f}",
        "iterations, median and largest": f"{found.num_iterations.median()}, {found.num_iterations.max()}",
        "cosine, median and least": f"{found.cosines.median():.3f}, {found.cosines.min():.3f}",
        f"ratio of one at a time ({num_alone}) to batched, per iteration": f"{one_by_one / batched:.2f}",
    }
    for row, value in rows.items():
        print(f"| {name} | {row} | {value} |", flush=True)
    patient = replace(settings, max_iterations=long_iterations, min_rise=-1.0)
    best, _ = timed(lambda: find_captions(encoder, pictures[:num_long], patient, words=words))
    ratio = found.cosines[:num_long] / best.cosines
    loss = (best.cosines - found.cosines[:num_long]).median()
    print(
        f"| {name} | cosine after {long_iterations} iterations ({num_long} pictures), median | "
        f"{best.cosines.median():.3f} |"
    )
    print(f"| {name} | share of it reached, median and least | {ratio.median():.3f}, {ratio.min():.3f} |")
    print(f"| {name} | loss by the stop rule in cosine, median | {loss:.3f} |", flush=True)
    return seconds / len(pictures)


def per_iteration(found: list[LatentCaptions], seconds: float) -> float:
    """Seconds that one iteration of one picture takes."""
    return seconds / sum(int(one.num_iterations.sum()) for one in found)


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What the work gives, and the processor seconds it takes."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def draw_pictures(clips: ClipStore, num_clips: int) -> Tensor:
    """Embeddings by lite of the middle frames of clips drawn without repetition."""
    chosen = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0))[:num_clips].tolist()
    rows = [row for row in (middle_frame(clips, clip) for clip in chosen) if row is not None]
    return torch.from_numpy(clips.load_vectors("lite")[rows])


@torch.no_grad()
def noisy_words(tower: RandomTower, num_pictures: int) -> Tensor:
    """Embeddings of five random words each, with noise of the same length: no caption says them wholly, as with real
    pictures.
    """
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(len(tower.token_table) - 2, (num_pictures, 5), generator=generator)
    embeddings = F.normalize(tower.encode_tokens(tower.token_table[ids]), dim=-1)
    return embeddings + F.normalize(torch.randn(embeddings.shape, generator=generator), dim=-1)


if __name__ == "__main__":
    main()
