"""What VAST's split decoder saves: time of the masks of 147 regions against tiling and concatenating, and memory of a
training step.

    OMP_NUM_THREADS=1 python benchmarks/region_masks.py
    OMP_NUM_THREADS=1 python benchmarks/region_masks.py --base-width 16 --max-width 128 --dim 384     a smaller network
    OMP_NUM_THREADS=1 python benchmarks/region_masks.py --no-time --precision bf16                    one training step

First table: summed masks of 3 × 49 regions of one mixture without gradients, the same weights and the same chunks in
every row, with the largest difference from the first. Second: two training steps (forward, backward, SGD) of 3 × 49
regions in a process of its own, each with its seconds, and the largest memory that the process ever held. Seconds are
the processor's, over all threads, so that other work on the machine does not count. The defaults are the paper's full
size: D = 1024, base width 64, 256 × 256, bilinear up-sampling.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time

import torch
from query_decoding import TiledDecoder
from rich.console import Console
from rich.table import Table
from torch import Tensor

from trisep.models.vast import VAST, Config
from trisep.networks.fusion import SplitDecoder, summed_masks
from trisep.types import QueryEmbedding

NUM_FRAMES_OF_VIDEO, GRID = 3, 7


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=1024, help="D of the shared space")
    parser.add_argument("--base-width", type=int, default=64)
    parser.add_argument("--max-width", type=int, default=512)
    parser.add_argument("--upsampling", choices=("bilinear", "transposed"), default="bilinear")
    parser.add_argument("--frames", type=int, default=256, help="spectrogram frames, a multiple of 128")
    parser.add_argument("--chunk", type=int, default=21, help="regions decoded at once")
    parser.add_argument("--batch", type=int, default=2, help="mixtures of the training step")
    parser.add_argument("--queries", type=int, default=1, help="videos per mixture in the training step")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the training step")
    parser.add_argument("--no-time", action="store_true", help="leave the first table out")
    parser.add_argument("--no-step", action="store_true", help="leave the training step out")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        training_steps(arguments)
        return
    if not arguments.no_time:
        print_times(arguments)
    if not arguments.no_step:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--inner"], check=True)


def build(arguments: argparse.Namespace) -> VAST:
    """The network of the given size, fresh."""
    torch.manual_seed(0)
    shape = {"base_width": arguments.base_width, "max_width": arguments.max_width, "upsampling": arguments.upsampling}
    config = Config(embedding_dim=arguments.dim, chunk_regions=arguments.chunk)
    return replace(config, unet=replace(config.unet, **shape)).build()


def print_times(arguments: argparse.Namespace) -> None:
    """Seconds of each way, and how far its masks are from the first's."""
    model = build(arguments).eval()
    picture = torch.randn(1, 1, 256, arguments.frames) * 3 - 5
    # VAST lays each vector and its negative beside the bottleneck.
    regions = torch.randn(1, 1, NUM_FRAMES_OF_VIDEO * GRID**2, 2 * arguments.dim)

    def split() -> Tensor:
        return summed_masks(SplitDecoder(model.unet, model.unet.encode(picture)), regions, arguments.chunk)

    def naive() -> Tensor:
        maps = model.unet.encode(picture)
        decoder = TiledDecoder(model.unet, maps)
        return sum(decoder(chunk).float().sigmoid().sum(dim=1) for chunk in regions[:, 0].split(arguments.chunk, dim=1))

    def in_bf16(way: Callable[[], Tensor]) -> Tensor:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.autocast("cpu", torch.bfloat16):
            return way()

    table = Table(title=f"summed masks of {regions.shape[2]} regions, {torch.get_num_threads()} thread(s)")
    for column in ("way", "seconds", "times faster", "largest difference"):
        table.add_column(column)
    first_seconds, first_masks = 0.0, None
    ways = {"naive, fp32": naive, "split, fp32": split, "split, bf16, channels last": lambda: in_bf16(split)}
    for name, way in ways.items():
        with torch.inference_mode():
            started = process_time()
            masks = way()
            seconds = process_time() - started
        if first_masks is None:
            first_seconds, first_masks = seconds, masks
        difference = float((masks - first_masks).abs().max())
        table.add_row(name, f"{seconds:.2f}", f"{first_seconds / seconds:.2f}", f"{difference:.1e}")
    Console(width=100).print(table)


def training_steps(arguments: argparse.Namespace) -> None:
    """Two steps of the whole model, and this process's peak memory."""
    model = build(arguments).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=4e-3)
    picture = (torch.randn(arguments.batch, 1, 256, arguments.frames) * 3 - 5).contiguous(
        memory_format=torch.channels_last
    )
    regions = torch.randn(arguments.batch, arguments.queries, NUM_FRAMES_OF_VIDEO, GRID, GRID, arguments.dim)
    num_regions = f"{arguments.batch} × {arguments.queries} × {NUM_FRAMES_OF_VIDEO} × {GRID**2}"
    table = Table(title=f"{num_regions} regions, {arguments.precision}")
    for column in ("step", "seconds", "loss", "peak memory, GB"):
        table.add_column(column)
    for step in (1, 2):
        started = process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            masks = model(picture, QueryEmbedding(regions=regions)).masks
        loss = (masks - 1 / (arguments.queries + 1)).abs().mean()
        loss.backward()
        optimizer.step()
        table.add_row(str(step), f"{process_time() - started:.1f}", f"{loss.item():.4f}", f"{peak_memory_gb():.2f}")
    Console(width=100).print(table)


def peak_memory_gb() -> float:
    """VmHWM of this process (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


if __name__ == "__main__":
    main()
