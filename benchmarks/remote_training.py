"""Training from an S3-compatible server on this machine (moto), killed and resumed once, against a run without a kill.

A made-up store of short videos is uploaded; two runs of a tiny recipe read it by its address.

    pip install 'trisep[train,remote]' 'moto[s3,server]'
    python benchmarks/remote_training.py --out FOLDER
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np

from trisep.media.files import sha256_of
from trisep.media.video_writer import write_video
from trisep.recipes import Recipe, recipe
from trisep.store.embeddings import write_embeddings
from trisep.store.layout import embedding_path, read_manifest
from trisep.store.prepare import PrepareSettings, prepare
from trisep.training.loop import TrainSettings, train
from trisep.types import Audio

_ADDRESS = "s3://trisep-benchmark/store"
_NUM_CLIPS, _CLIPS_PER_SHARD = 60, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="new folder for the store and the runs")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--killed-at", type=int, default=110)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--port", type=int, default=5555)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{arguments.port}",
    }
    if arguments.run is not None:
        train_streamed(arguments.run, arguments.out / "store", arguments.steps, arguments.workers)
        return
    make_store(arguments.out)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(arguments.port)], stderr=subprocess.DEVNULL
    )
    try:
        upload(arguments.out / "store")
        measure(arguments)
    finally:
        server.terminate()
        server.wait()


def make_store(out: Path) -> None:
    """Short videos of noise with random vectors for their pictures."""
    generator = np.random.default_rng(1)
    (out / "videos").mkdir(parents=True)
    for number in range(_NUM_CLIPS):
        sound = Audio((generator.standard_normal((1, 24000)) * 0.1).astype(np.float32), 16000)
        pictures = [np.full((48, 64, 3), 4 * number + step, np.uint8) for step in range(5)]
        write_video(out / "videos" / f"{number:03d}.mp4", pictures, fps=3.0, audio=sound)
    settings = PrepareSettings(files_per_shard=_CLIPS_PER_SHARD, short_side=32, num_workers=1)
    prepare(out / "videos", out / "store", settings)
    for shard in read_manifest(out / "store").shards:
        vectors = generator.standard_normal((shard.num_frames, 384)).astype(np.float32)
        origin = {"encoder": "lite", "fingerprint": "noise", "shard_sha256": shard.sha256}
        write_embeddings(embedding_path(out / "store", shard.name, "lite"), {"vectors": vectors}, **origin)


def upload(store: Path) -> None:
    """Copy the store to the server as soon as that answers."""
    for attempt in range(120):
        try:
            system = fsspec.filesystem("s3", skip_instance_cache=True)
            system.mkdir("trisep-benchmark")
            break
        except OSError:
            if attempt == 119:
                raise
            time.sleep(1)
    system.put(f"{store}/", _ADDRESS, recursive=True)
    print(f"{len(system.find(_ADDRESS))} files at {_ADDRESS}")


def measure(arguments: argparse.Namespace) -> None:
    """Make both runs and compare their models."""
    words = [sys.executable, __file__, "--out", str(arguments.out), "--port", str(arguments.port)]
    words += ["--steps", str(arguments.steps), "--workers", str(arguments.workers), "--run"]
    started = os.times()
    subprocess.run([*words, str(arguments.out / "whole")], check=True)
    taken = os.times()
    seconds = taken.children_user + taken.children_system - started.children_user - started.children_system
    process = subprocess.Popen([*words, str(arguments.out / "killed")], start_new_session=True)
    log = arguments.out / "killed" / "log.jsonl"
    while process.poll() is None and steps_in(log) < arguments.killed_at:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print(f"killed after {steps_in(log)} steps")
    subprocess.run([*words, str(arguments.out / "killed")], check=True)
    hashes = [sha256_of(arguments.out / run / "model" / "model.safetensors") for run in ("whole", "killed")]
    print(f"{arguments.steps} steps without a kill: {seconds:.1f} processor seconds")
    same = "the same" if hashes[0] == hashes[1] else "OTHERS"
    print(f"models: {hashes[0][:16]} without and {hashes[1][:16]} with a kill: {same}")


def steps_in(log: Path) -> int:
    """Return the last step that a run has logged, which it does every ten steps."""
    lines = log.read_text().splitlines() if log.is_file() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def train_streamed(run: Path, validation: Path, num_steps: int, num_workers: int) -> None:
    """Train a tiny network on the store at the server."""
    tiny = tiny_recipe(num_steps)
    settings = TrainSettings(
        data=_ADDRESS, out=run, validation=validation, cpu=True, num_workers=num_workers, shuffle_buffer=16
    )
    train(tiny, settings)


def tiny_recipe(num_steps: int) -> Recipe:
    """Return a recipe with picture queries, cut down."""
    tiny = recipe("clipsep-avmini").tiny()
    training = replace(tiny.training, num_steps=num_steps, batch_size=2, checkpoint_steps=25, validation_steps=100)
    return replace(tiny, training=training)


if __name__ == "__main__":
    main()
