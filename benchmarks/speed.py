"""How the cost of `separate` grows with queries, length, channels and sampling rate. Prints one table.

    OMP_NUM_THREADS=1 python benchmarks/speed.py [--model default] [--precision fp32] [--repeats 2]

Each row changes one thing of the first row: 20 s of stereo at 44.1 kHz, two queries. Times are processor seconds of
`Separator.separate`, over all threads of the process, the least of the repeats; the rows take turns, so that other work
on the machine falls on all of them. The sound is noise, since no cost depends on what is heard.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch

from trisep import Audio
from trisep.separation.options import SeparationOptions
from trisep.separation.separator import load

WORDS = ("violin", "dog barking", "rain", "trumpet", "speech", "church bell", "engine", "bird singing")
USUAL = {"queries": 2, "seconds": 20.0, "channels": 2, "rate_hz": 44100}
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"queries": 1},
    {"queries": 4},
    {"queries": 8},
    {"seconds": 5.0},
    {"seconds": 60.0},
    {"channels": 1},
    {"channels": 6},
    {"rate_hz": 16000},
    {"rate_hz": 96000},
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", default="fp32", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    separator = load(arguments.model, device="cpu")
    options = SeparationOptions(precision=arguments.precision)
    generator = np.random.default_rng(0)
    rows = [{**USUAL, **change} for change in CHANGES]
    seconds: list[list[float]] = [[] for _ in rows]
    separator.separate(sound(generator, rows[0]), WORDS, options)  # loads what is loaded when it is first used
    for _ in range(arguments.repeats):
        for row, times in zip(rows, seconds, strict=True):
            mixture = sound(generator, row)
            started = time.process_time()
            separator.separate(mixture, WORDS[: row["queries"]], options)
            times.append(time.process_time() - started)
    print(f"{torch.get_num_threads()} thread(s), {arguments.precision}, model {arguments.model}")
    print("| queries | length, s | channels | rate, Hz | processor s | relative to the first | × real time |")
    print("|---|---|---|---|---|---|---|")
    first = min(seconds[0])
    for row, times in zip(rows, seconds, strict=True):
        cells = [row["queries"], row["seconds"], row["channels"], row["rate_hz"], f"{min(times):.2f}"]
        cells += [f"{min(times) / first:.2f}", f"{row['seconds'] / min(times):.0f}"]
        print("| " + " | ".join(map(str, cells)) + " |")


def sound(generator: np.random.Generator, row: dict[str, Any]) -> Audio:
    """Noise of a row's length, channels and rate."""
    shape = row["channels"], int(row["seconds"] * row["rate_hz"])
    return Audio(0.1 * generator.standard_normal(shape, dtype=np.float32), row["rate_hz"])


if __name__ == "__main__":
    main()
