"""A list of 100 000 pairs through `trisep evaluate`: is memory bounded, and how fast does it go? Prints one table.

    OMP_NUM_THREADS=1 python benchmarks/long_list.py [--rows 1000 5000] [--clips 40] [--seconds 0.5] [--workers 1] \
        [--length 100000]

Writes short synthetic clips and a pair list, and measures each part in a process of its own:

- the walk through the whole list, which is counted, checked and written down
- `trisep evaluate --baseline mixture`, the cheapest system there is, on the first rows of the list
- the summary of a table of the whole length, which is the last of those tables over and over

What the scoring of the whole list would take is extrapolated from the slope between the shortest and the longest of
those runs, and marked so. Peak memory is what the system reports of the command itself and of the largest of its
workers.
"""

import argparse
import csv
import itertools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trisep.media.audio_writer import write_audio
from trisep.types import Audio

RATE_HZ = 16000
_CHILD = """
import resource, sys
from pathlib import Path
from trisep import cli
from trisep.evaluation.pairs import survey
from trisep.protocols.pair_files import read_pairs
from trisep.evaluation.table import summarise
part, *words = sys.argv[1:]
if part == "evaluate":
    code = cli.main([part, *words])
elif part == "walk":
    folder = Path(words[0])
    list_of_pairs = folder / "pairs.csv"
    survey(lambda: read_pairs(list_of_pairs, folder=folder), folder / "copy.csv", folder=folder, skip_missing=False)
else:
    summarise(Path(words[0]), ("sdri", "si_sdri"), seed=0)
for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
    usage = resource.getrusage(who)
    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took."""

    wall_seconds: float
    processor_seconds: float
    own_peak_mib: float
    worker_peak_mib: float


def write_material(folder: Path, *, num_clips: int, seconds: float, num_pairs: int) -> None:
    """Clips of noise and tones of as many labels, a list of them, and the list of pairs."""
    generator = np.random.default_rng(0)
    names = [f"clip{number:03d}.wav" for number in range(num_clips)]
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    for number, name in enumerate(names):
        sound = 0.1 * np.sin(2 * np.pi * (100 + 40 * number) * times) + 0.02 * generator.standard_normal(len(times))
        write_audio(folder / name, Audio(sound.astype(np.float32)[None], RATE_HZ), subtype="wav_float32")
    pairs = itertools.islice(itertools.cycle(itertools.permutations(range(num_clips), 2)), num_pairs)
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path_1", "label_1", "path_2", "label_2"))
        writer.writerows((names[one], f"label {one}", names[other], f"label {other}") for one, other in pairs)


def repeat_table(table: Path, whole: Path, num_pairs: int) -> None:
    """The rows of a table over and over, numbered on, until there are so many pairs."""
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    with whole.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number, row in enumerate(itertools.islice(itertools.cycle(rows), 2 * num_pairs)):
            writer.writerow((number // 2, *row[1:]))


def run(part: str, *words: str) -> Usage:
    """A part of the work in a process of its own."""
    start = time.monotonic()
    command = [sys.executable, "-c", _CHILD, part, *words]
    result = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    own, children = (list(map(float, line.split())) for line in result.stdout.splitlines()[-2:])
    return Usage(time.monotonic() - start, own[0] + children[0], own[1], children[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--length", type=int, default=100_000)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    print(
        "| what | pairs | wall, s | processor, s | peak of the command, MiB | peak of a worker, MiB |\n|" + "---|" * 6
    )
    scored: dict[int, Usage] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_material(folder, num_clips=arguments.clips, seconds=arguments.seconds, num_pairs=arguments.length)
        print_row("walk through the list", arguments.length, run("walk", str(folder)))
        for num_rows in sorted(arguments.rows):
            limit = ("--limit", str(num_rows), "--workers", str(arguments.workers))
            pairs = (
                "--data",
                str(folder),
                "--pairs",
                str(folder / "pairs.csv"),
                "--out",
                str(folder / f"out{num_rows}"),
            )
            scored[num_rows] = run("evaluate", "--protocol", "avmini", "--baseline", "mixture", *pairs, *limit)
            print_row("evaluate", num_rows, scored[num_rows])
        repeat_table(folder / f"out{max(scored)}" / "baselines.csv", folder / "whole.csv", arguments.length)
        print_row("summary of the table", arguments.length, run("summary", str(folder / "whole.csv")))
    if len(scored) > 1:
        print_extrapolation(scored, arguments.length)


def print_row(what: str, num_pairs: int, usage: Usage) -> None:
    memory = f"{usage.own_peak_mib:.0f} | {usage.worker_peak_mib:.0f}"
    print(f"| {what} | {num_pairs} | {usage.wall_seconds:.1f} | {usage.processor_seconds:.1f} | {memory} |", flush=True)


def print_extrapolation(scored: dict[int, Usage], length: int) -> None:
    """What is left of the list, as far as a straight line goes."""
    few, many = min(scored), max(scored)

    def line(name: str) -> tuple[float, float]:
        slope = (getattr(scored[many], name) - getattr(scored[few], name)) / (many - few)
        return slope, getattr(scored[many], name) + slope * (length - many)

    (_, wall), (per_pair, processor) = line("wall_seconds"), line("processor_seconds")
    (own_slope, own), (worker_slope, worker) = line("own_peak_mib"), line("worker_peak_mib")
    print(f"| **extrapolated** | {length} | {wall:.0f} | {processor:.0f} | {own:.0f} | {worker:.0f} |")
    print(
        f"\n{1e3 * per_pair:.2f} ms of processor time a pair; {1024 * own_slope:.3f} KiB a pair, of a worker "
        f"{1024 * worker_slope:.3f} KiB"
    )


if __name__ == "__main__":
    main()
