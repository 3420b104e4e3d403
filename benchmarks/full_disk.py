"""Every verb that writes is given a disk of its own that is too small, then a larger one; what it wrote in the end is
compared, byte by byte, with what an undisturbed run writes. Needs leave to mount (Linux, as root).

    python benchmarks/full_disk.py --sizes 2
    python benchmarks/full_disk.py --verb prepare train

The disk is a tmpfs in the place of the output folder, whose size is drawn between nothing and what the verb writes; for
the second run it is grown in place, as when somebody frees some space. Reported for each verb:

    refused       runs that ended with exit code 2 and one line
    fitted        runs that ended well on the small disk
    bad ends      everything else
    leftovers     temporary files that are there after the first run, or the second
    differences   runs whose files differ, after the second run, from the undisturbed one's
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from kills import COMMANDS, START_FROM, Campaign, Run, files_of, is_temporary, temporaries, write_inputs
from rich.console import Console
from rich.table import Table

VERBS = [verb for verb in COMMANDS if verb != "import"]
"""`import` replaces its output folder as a whole, which nobody can do with the place of a disk."""
_OVERHEAD_BYTES = 8 << 10


def main() -> int:
    """Run; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verb", nargs="*", choices=VERBS, default=VERBS)
    parser.add_argument("--sizes", type=int, default=2, help="disks for each verb")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("refused", "fitted", "bad ends", "leftovers", "differences")
    table = Table("verb", *columns, title=f"disks that are too small, seed {options.seed}")
    console, total = Console(width=120), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="trisep-full-") as scratch:
        write_inputs(Path(scratch) / "inputs")
        for verb in options.verb:
            work = Path(scratch) / verb.replace(" ", "-")
            disk = SmallDisk(verb, Path(scratch) / "inputs", work, random.Random(options.seed), console)
            counts = disk.run(options.sizes)
            table.add_row(verb, *(str(counts[name]) for name in columns))
            total += counts
    console.print(table)
    return int(any(total[name] for name in columns[2:]))


class SmallDisk(Campaign):
    """The runs of one verb on a disk that is too small, then large enough."""

    def run(self, num_sizes: int) -> Counter[str]:  # type: ignore[override]
        """Return what was counted."""
        self.straight, _ = self._undisturbed()
        again, _ = self._undisturbed()
        self.unsteady = {name for name in self.straight if self.straight[name] != again.get(name)}
        largest = _bytes_in(self.work / "out") - (_bytes_in(self._start_from) if self._start_from else 0)
        for _ in range(num_sizes):
            self._try(self.generator.randrange(largest))
        return self.counts

    @property
    def _start_from(self) -> Path | None:
        """The folder of which the output is a copy at first."""
        return self.work / START_FROM[self.verb] if self.verb in START_FROM else None

    def _try(self, size: int) -> None:
        """Run on a small disk, and again when it has grown."""
        self._fresh()
        out = self.work / "out"
        start = self._start_from
        taken = _bytes_in(start) if start else 0
        with mounted(out, size + taken + _OVERHEAD_BYTES):
            if start:
                subprocess.run(["cp", "-r", f"{start}/.", str(out)], check=True)
            code, said = Run(self.words, self.work, None).wait()
            if code in (0, 1):
                self.counts["fitted"] += 1
            elif code == 2 and said.count("trisep: error:") == 1:
                self.counts["refused"] += 1
            else:
                self._bad(f"a disk of {size} bytes: ended with {code}: {said}")
            left = temporaries(out)
            subprocess.run(["mount", "-o", "remount,size=1g", str(out)], check=True)
            if code == 2:
                code, said = Run(self.words, self.work, None).wait()
            if code not in (0, 1):
                self._bad(f"again, with room: ended with {code}: {said}")
            left += temporaries(out)
            found = files_of(out)
        self.counts["leftovers"] += bool(left)
        different = [name for name in found.keys() | self.straight.keys() if found.get(name) != self.straight.get(name)]
        different = [name for name in different if name not in self.unsteady and not is_temporary(name)]
        self.counts["differences"] += bool(different)
        if left or different:
            self.console.print(f"{self.verb}: {size} bytes: left {left[:4]}, different {different[:4]}", markup=False)


def _bytes_in(folder: Path) -> int:
    """Return what the files below a folder take on a disk of pages of 4096 bytes."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """Put an empty disk of a size in the place of a folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(4096, size)}", "trisep-test", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    sys.exit(main())
