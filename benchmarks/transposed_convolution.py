"""Is a 4 × 4 transposed convolution of stride 2 faster when it is written as something else? Prints one table.

    OMP_NUM_THREADS=1 python benchmarks/transposed_convolution.py [--repeats 3]

The ways are PyTorch's transposed convolution; one 2 × 2 convolution with four times the outputs, of which each quarter
fills every second row and column of the result (a sub-pixel convolution); four 2 × 2 convolutions; and a matrix product
of which the taps are folded. All give the same to rounding. Times are milliseconds of processor time, forward alone and
forward with backward, the least of the repeats, all ways in turn.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SHAPES = (
    (2, 64, 64, 416, 32),
    (2, 128, 32, 208, 64),
    (2, 256, 16, 104, 128),
    (2, 256, 8, 52, 256),
    (16, 64, 64, 64, 32),
    (16, 128, 32, 32, 64),
    (16, 256, 16, 16, 128),
    (16, 256, 8, 8, 256),
)
"""Mixtures × queries, channels, rows, frames → channels: the layers of the default, a segment of separation and a batch
of training."""
TAPS = ((3, 1), (2, 0))
"""The taps of the kernel that make the even, then the odd rows."""


def transposed(x: Tensor, kernel: Tensor) -> Tensor:
    return functional.conv_transpose2d(x, kernel, stride=2, padding=1)


def sub_pixel(x: Tensor, kernel: Tensor) -> Tensor:
    (rows, height, width), outputs = (x.shape[0], *x.shape[2:]), kernel.shape[1]
    parts = torch.cat([kernel[:, :, a][:, :, :, b] for a in TAPS for b in TAPS], dim=1).transpose(0, 1)
    y = functional.conv2d(x, parts.contiguous(memory_format=torch.channels_last), padding=1).permute(0, 2, 3, 1)
    quarters = [
        [y[:, a : a + height, b : b + width, (2 * a + b) * outputs :][..., :outputs] for b in (0, 1)] for a in (0, 1)
    ]
    lines = [torch.stack(pair, dim=3).reshape(rows, height, 2 * width, outputs) for pair in quarters]
    return torch.stack(lines, dim=2).reshape(rows, 2 * height, 2 * width, outputs).permute(0, 3, 1, 2)


def four(x: Tensor, kernel: Tensor) -> Tensor:
    (rows, height, width), outputs = (x.shape[0], *x.shape[2:]), kernel.shape[1]
    result = x.new_empty(rows, height, 2, width, 2, outputs)
    for a in (0, 1):
        for b in (0, 1):
            part = kernel[:, :, TAPS[a]][:, :, :, TAPS[b]].transpose(0, 1)
            part = part.contiguous(memory_format=torch.channels_last)
            result[:, :, a, :, b] = functional.conv2d(functional.pad(x, (1 - b, b, 1 - a, a)), part).permute(0, 2, 3, 1)
    return result.reshape(rows, 2 * height, 2 * width, outputs).permute(0, 3, 1, 2)


def folded(x: Tensor, kernel: Tensor) -> Tensor:
    taps = (x.flatten(2).transpose(1, 2) @ kernel.flatten(1)).transpose(1, 2)
    return functional.fold(taps, (2 * x.shape[2], 2 * x.shape[3]), kernel_size=4, stride=2, padding=1)


WAYS = {"transposed": transposed, "sub-pixel": sub_pixel, "four 2 × 2": four, "product and fold": folded}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print("| shape | " + " | ".join(WAYS) + " |\n" + "|---" * (len(WAYS) + 1) + "|")
    for shape in SHAPES:
        times, times_both = measured(shape, arguments.repeats)
        cells = (f"{times[name]:.0f} / {times_both[name]:.0f}" for name in WAYS)
        print(f"| {' × '.join(map(str, shape[:4]))} → {shape[4]} | " + " | ".join(cells) + " |", flush=True)


def measured(shape: tuple[int, ...], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of every way forward, and forward and backward; all of them give the same."""
    x = torch.randn(shape[:4]).contiguous(memory_format=torch.channels_last)
    kernel = (torch.randn(shape[1], shape[4], 4, 4) / shape[1]).contiguous(memory_format=torch.channels_last)
    expected = transposed(x, kernel)
    for way in WAYS.values():
        torch.testing.assert_close(way(x, kernel), expected, rtol=0, atol=1e-5)
    inputs, gradient = [one.clone().requires_grad_() for one in (x, kernel)], torch.randn_like(expected)
    with torch.no_grad():
        forward = least_ms({name: (lambda way=way: way(x, kernel)) for name, way in WAYS.items()}, repeats)
    both = {name: (lambda way=way: torch.autograd.grad(way(*inputs), inputs, gradient)) for name, way in WAYS.items()}
    return forward, least_ms(both, repeats)


def least_ms(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least processor time of each way, in milliseconds, after one run that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, run in ways.items():
            started = time.process_time()
            run()
            if repeat:
                times[name].append(1000 * (time.process_time() - started))
    return {name: min(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
