"""Opening a clip store of millions of clips: time and memory, and what drawing clips from it costs.

The store is made up: an index table in Arrow's format, shards that are holes of the right size, no lines of text.

    python benchmarks/store_index.py --clips 10000000 --out FOLDER
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from trisep.store import table
from trisep.store.layout import INDEX, SHARDS, TABLE, Manifest, ShardInfo, shard_name, shard_path, write_manifest
from trisep.store.read import ClipStore

_FRAMES, _SAMPLES, _FRAME_BYTES, _JSON_BYTES = 10, 160000, 20000, 512
_CLIP_BYTES = _FRAMES * (_FRAME_BYTES + 512) + 2 * _SAMPLES + 44 + _JSON_BYTES + 3 * 512
_DRAWN = 20000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000_000)
    parser.add_argument("--clips-per-shard", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True, help="folder of the made-up store; it is kept")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.out)))
        return
    if not (arguments.out / "manifest.json").is_file():
        make_store(arguments.out, arguments.clips, arguments.clips_per_shard)
    size = (arguments.out / TABLE).stat().st_size
    command = [sys.executable, __file__, "--measure", "--out", str(arguments.out)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"table: {size / 1e9:.2f} GB, {size / found['clips']:.0f} bytes a clip")
    for name, value in found.items():
        print(f"{name}: {value:g}" if isinstance(value, float) else f"{name}: {value}")


def make_store(out: Path, num_clips: int, clips_per_shard: int) -> None:
    """Write table, manifest and hollow shards."""
    (out / SHARDS).mkdir(parents=True)
    (out / INDEX).touch()
    shards = []
    for number, first in enumerate(range(0, num_clips, clips_per_shard)):
        count = min(clips_per_shard, num_clips - first)
        shard = ShardInfo(
            name=shard_name(number),
            num_clips=count,
            num_frames=count * _FRAMES,
            size_bytes=count * _CLIP_BYTES,
            sha256="0" * 64,
        )
        with shard_path(out, shard.name).open("wb") as file:
            file.truncate(shard.size_bytes)
        shards.append(shard)
    manifest = Manifest(
        settings={"sample_rate_hz": 16000},
        inputs_sha256="0" * 64,
        num_inputs=num_clips,
        num_clips=num_clips,
        num_frames=num_clips * _FRAMES,
        total_seconds=num_clips * _SAMPLES / 16000,
        skipped_counts={},
        skipped=(),
        shards=tuple(shards),
        index_sha256="0" * 64,
    )
    schema = table._SCHEMA.with_metadata(table._identity(out, manifest))
    with pa.OSFile(str(out / TABLE), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for number, shard in enumerate(shards):
            writer.write_batch(batch(number, number * clips_per_shard, shard.num_clips, schema))
    write_manifest(out, manifest)


def batch(shard: int, first: int, count: int, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of a shard, made by whole columns."""
    starts = np.arange(count, dtype=np.int64) * _CLIP_BYTES
    frames = starts[:, None] + 512 + np.arange(_FRAMES) * (_FRAME_BYTES + 512)
    descriptions = starts + _FRAMES * (_FRAME_BYTES + 512) + 512
    numbers = range(first, first + count)
    ends = np.arange(count + 1, dtype=np.int32) * _FRAMES

    def places(offsets: np.ndarray, size: int) -> pa.Array:
        """Offset and size of each file."""
        return pa.FixedSizeListArray.from_arrays(np.stack([offsets, np.full_like(offsets, size)], -1).ravel(), 2)

    columns = {
        "key": pa.array([b"%07d-0000-0123abcd" % number for number in numbers], pa.binary()),
        "source": pa.array([b"%03d/%011d_000030.mp4" % (number % 1000, number) for number in numbers], pa.binary()),
        "start_seconds": pa.array(np.zeros(count)),
        "num_samples": pa.array(np.full(count, _SAMPLES)),
        "rms_db": pa.array(np.linspace(-40, -10, count)),
        "peak": pa.array(np.full(count, 0.5)),
        "wav_scale": pa.array(np.ones(count)),
        "frame_times_seconds": pa.ListArray.from_arrays(ends, np.tile(np.arange(_FRAMES, dtype=np.float64), count)),
        "shard": pa.array(np.full(count, shard)),
        "wav": places(descriptions + _JSON_BYTES + 512, 2 * _SAMPLES + 44),
        "frames": pa.ListArray.from_arrays(ends, places(frames.ravel(), _FRAME_BYTES)),
        "description": places(descriptions, _JSON_BYTES),
    }
    return pa.RecordBatch.from_arrays(
        [columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema
    )


def measure(path: Path) -> dict[str, float]:
    """Open the store, then draw clips from all of it."""
    before, started, wall = memory(), time.process_time(), time.monotonic()
    store = ClipStore(path)
    opened = {
        "clips": len(store),
        "to open, processor seconds": time.process_time() - started,
        "to open, seconds": time.monotonic() - wall,
        "highest memory so far, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "of it before opening, MiB": sum(before),
    }
    chosen = np.random.default_rng(0).integers(len(store), size=_DRAWN).tolist()
    started = time.process_time()
    for clip in chosen:
        assert store.num_samples(clip) == _SAMPLES and store.frame_slice(clip).start == clip * _FRAMES
        assert asdict(store.entries[clip])["frames"][0][1] == _FRAME_BYTES
    taken = time.process_time() - started
    own, mapped = memory()
    return opened | {
        f"{_DRAWN} drawn clips, microseconds each": taken / _DRAWN * 1e6,
        "own memory then, MiB": own,
        "mapped files in memory then, MiB": mapped,
    }


def memory() -> tuple[float, float]:
    """Return the memory of this process in MiB: its own, and that of mapped files, which the system may take back."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024, int(lines["RssFile"].split()[0]) / 1024


if __name__ == "__main__":
    main()
