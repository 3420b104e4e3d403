"""Try hostile inputs of every kind, and count how each ended.

The package says what is tried, and how a failing input is tried again.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.fuzz.campaign import BAD, Tally, run_kind
from benchmarks.fuzz.kinds import all_kinds
from benchmarks.fuzz.worker import attempt


def main() -> int:
    """Run; 0 when nothing was bad, 1 otherwise."""
    options = parse_options()
    torch.set_num_threads(1)
    kinds = all_kinds()
    if options.replay:
        return replay(options.replay)
    counts = {name: int(count) for name, _, count in (entry.partition("=") for entry in options.count)}
    chosen = [kinds[name] for name in counts] if counts else list(kinds.values())
    console = Console(width=150)
    tallies = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trisep-fuzz-") as scratch:
        for position, kind in enumerate(chosen):
            left = max(0.0, options.seconds - (time.monotonic() - began)) / (len(chosen) - position)
            count = counts.get(kind.name, sys.maxsize)
            tally = run_kind(
                kind,
                Path(scratch),
                seed=options.seed,
                first=options.first,
                count=count,
                seconds=left,
                keep=options.keep,
            )
            tallies.append(tally)
            for cause, number in tally.causes.most_common():
                console.print(f"{number:5d} × {tally.examples[cause]}", markup=False, highlight=False)
            for line, number in tally.noise.most_common(3):
                console.print(f"{number:5d} × said beside the one line: {line}", markup=False, highlight=False)
            if tally.interrupted:
                break
    console.print(table_of(tallies, options.seed))
    return int(any(tally.num_bad for tally in tallies))


def parse_options() -> argparse.Namespace:
    """The command line."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__, formatter_class=shape)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seconds", type=float, default=1e9, help="time for all kinds together, shared evenly")
    parser.add_argument("--count", nargs="*", default=[], metavar="KIND=N", help="which kinds, and how many inputs")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that fail")
    parser.add_argument("--replay", metavar="KIND:SEED:NUMBER", help="try one input again, with its traceback")
    return parser.parse_args()


def replay(name: str) -> int:
    """Try one input in this process."""
    kind = all_kinds()[name.partition(":")[0]]
    with tempfile.TemporaryDirectory(prefix="trisep-fuzz-") as scratch:
        examples, folder = Path(scratch) / f"examples-{kind.name}", Path(scratch) / "input"
        examples.mkdir()
        folder.mkdir()
        kind.prepare(examples)
        outcome, detail = attempt(kind, examples, folder, name, debug=True)
    print(f"{outcome}: {detail}")
    return int(outcome in BAD)


def table_of(tallies: list[Tally], seed: int) -> Table:
    """One row a kind."""
    table = Table(title=f"fuzzing, seed {seed}")
    names = ("accepted", "refused", *BAD)
    for column in ("kind", "inputs", *names, "slowest", "peak"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for tally in tallies:
        cells = [str(tally.counts[name]) for name in names]
        table.add_row(
            tally.kind, str(tally.num_inputs), *cells, f"{tally.slowest_seconds:.1f} s", f"{tally.peak_mib} MiB"
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
