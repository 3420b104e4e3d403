"""Ray with two workers against one: wall and processor time of `prepare` and `embed` on the same clips, as a table.

    pip install 'trisep[cluster]'
    OMP_NUM_THREADS=1 python benchmarks/ray_workers.py FOLDER --clips 256 [--files-per-shard 8] [--workers 1 2]

The first clips of FOLDER are copied into a scratch folder; each number of workers prepares and embeds them in commands
of its own, in turn. The row `start` is a Ray that does nothing, which every other row contains. Processor time is that
of the command and all processes below it, as the system counts it every tenth of a second. That needs /proc, and
free processors, as many as workers. At the end the stores are compared byte by byte.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trisep.media import MEDIA_SUFFIXES
from trisep.media.files import sha256_of

_EVERY_SECONDS = 0.1
_NOTHING = """
import sys
from trisep.store.cluster import run_on_cluster
list(run_on_cluster(["nothing"], str, address="local", num_workers=int(sys.argv[1])))
"""


def ticks_below(root: int) -> dict[int, int]:
    """Ticks of processor time of a process and all that it started, by process number."""
    parents, ticks = {}, {}
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split() if folder.name.isdigit() else []
        except OSError:
            continue  # it ended meanwhile
        if fields:
            parents[int(folder.name)], ticks[int(folder.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    chosen, waiting = {root}, [root]
    while waiting:
        one = waiting.pop()
        children = {process for process, parent in parents.items() if parent == one} - chosen
        chosen |= children
        waiting += children
    return {process: ticks[process] for process in chosen if process in ticks}


def measured(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command; SystemExit with what it printed where it fails."""
    started, largest = time.monotonic(), {}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
        while process.poll() is None:
            for number, ticks in ticks_below(process.pid).items():
                largest[number] = max(ticks, largest.get(number, 0))
            time.sleep(_EVERY_SECONDS)
        output.seek(0)
        if process.returncode:
            raise SystemExit(output.read())
    return time.monotonic() - started, sum(largest.values()) / os.sysconf("SC_CLK_TCK")


def copied(folder: Path, num_clips: int, out: Path) -> int:
    """Copy the first media files below a folder; return how many there were."""
    chosen = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MEDIA_SUFFIXES][:num_clips]
    out.mkdir()
    for number, path in enumerate(chosen):
        shutil.copyfile(path, out / f"{number:06}{path.suffix}")
    return len(chosen)


def digests(store: Path) -> dict[str, str]:
    """SHA-256 of every file of a store."""
    return {str(path.relative_to(store)): sha256_of(path) for path in sorted(store.rglob("*")) if path.is_file()}


def main() -> None:
    """Measure every number of workers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--files-per-shard", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    trisep = [sys.executable, "-m", "trisep.cli"]
    rows: dict[tuple[str, int], tuple[float, float]] = {}
    stores = []
    with tempfile.TemporaryDirectory() as scratch:
        clips = Path(scratch) / "clips"
        num_clips = copied(arguments.folder, arguments.clips, clips)
        for workers in arguments.workers:
            on_ray = ["--cluster", "local", "--workers", str(workers)]
            store = Path(scratch) / f"store-{workers}"
            shards = ["--files-per-shard", str(arguments.files_per_shard)]
            rows["start", workers] = measured([sys.executable, "-c", _NOTHING, str(workers)])
            rows["prepare", workers] = measured([*trisep, "prepare", str(clips), "--out", str(store), *shards, *on_ray])
            rows["embed", workers] = measured([*trisep, "embed", str(store), "--encoder", "lite", *on_ray])
            stores.append(digests(store))
    table = Table(title=f"{num_clips} clips, {arguments.files_per_shard} in a shard")
    for column in ("what", "workers", "wall s", "processor s", "wall, first / this", "without the start"):
        table.add_column(column)
    for (what, workers), (wall, processor) in rows.items():
        first, start = arguments.workers[0], rows["start", workers][0]
        ratio = rows[what, first][0] / wall
        own = (rows[what, first][0] - rows["start", first][0]) / max(1e-9, wall - start)
        ratios = [f"{ratio:.2f}", "" if what == "start" else f"{own:.2f}"]
        table.add_row(what, str(workers), f"{wall:.1f}", f"{processor:.1f}", *ratios)
    Console(width=100).print(table)
    print("the stores are the same, byte by byte:", all(store == stores[0] for store in stores))


if __name__ == "__main__":
    main()
