"""Clip stores whose manifest, index, shards, embeddings, plan and parts are changed."""

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.fuzz.mutations import mutated_bytes, mutated_json
from trisep.errors import TrisepError
from trisep.media.video_writer import write_video
from trisep.store.check import check_store
from trisep.store.embeddings import write_embeddings
from trisep.store.layout import caption_path, embedding_path, read_manifest
from trisep.store.prepare import PrepareSettings
from trisep.store.prepare import prepare as prepare_store
from trisep.store.read import ClipStore
from trisep.types import Audio

_SETTINGS = PrepareSettings(files_per_shard=2, short_side=32, num_workers=1, min_seconds=0.5)


def prepare(folder: Path) -> None:
    """Write four short videos, a finished store of them with made-up embeddings, and one that was interrupted."""
    import trisep.store.prepare as module

    generator = np.random.default_rng(1)
    (folder / "videos").mkdir(exist_ok=True)
    for number in range(4):
        sound = Audio((generator.standard_normal((1, 16000)) * 0.1).astype(np.float32), 16000)
        pictures = [np.full((48, 64, 3), 60 * number + step, np.uint8) for step in range(5)]
        write_video(folder / "videos" / f"{number}.mp4", pictures, fps=5.0, audio=sound)
    prepare_store(folder / "videos", folder / "finished", _SETTINGS)
    for shard in read_manifest(folder / "finished").shards:
        origin = {"encoder": "lite", "fingerprint": "noise", "shard_sha256": shard.sha256}
        frames = {
            "vectors": generator.standard_normal((shard.num_frames, 8)).astype(np.float32),
            "regions": generator.standard_normal((shard.num_frames, 7, 7, 8)).astype(np.float16),
        }
        write_embeddings(embedding_path(folder / "finished", shard.name, "lite"), frames, **origin)
        captions = {
            "captions": generator.standard_normal((shard.num_clips, 8)).astype(np.float32),
            "tokens": generator.standard_normal((shard.num_clips, 3, 8)).astype(np.float32),
            "cosines": np.ones(shard.num_clips, np.float32),
        }
        write_embeddings(caption_path(folder / "finished", shard.name, "lite"), captions, **origin)
    merge, module._merge = module._merge, _stop  # type: ignore[assignment]
    try:
        prepare_store(folder / "videos", folder / "interrupted", _SETTINGS)
    except KeyboardInterrupt:
        pass
    finally:
        module._merge = merge


def _stop(*_: object) -> None:
    """Interrupt a preparation when all shards are made."""
    raise KeyboardInterrupt


def attempt(generator: Random, examples: Path, folder: Path) -> None:
    """Open and read a changed store, and check it; or continue one that was interrupted."""
    finished = generator.random() < 0.8
    store = folder / "store"
    shutil.copytree(examples / ("finished" if finished else "interrupted"), store)
    files = sorted(path for path in store.rglob("*") if path.is_file())
    spoilt: list[Path] = []
    for _ in range(generator.choice((1, 1, 2))):
        plain = [path for path in files if path.suffix in (".json", ".jsonl")]
        path = generator.choice(plain if generator.random() < 0.6 else files)
        _spoil(generator, path, spoilt)
        spoilt.append(path)
    if not finished:
        prepare_store(examples / "videos", store, _SETTINGS)
    refused = None
    for step in (check_store, _read):
        try:
            step(store)
        except TrisepError as error:
            refused = error
    if refused:
        raise refused


def _read(path: Path) -> None:
    """Read everything of a store."""
    store = ClipStore(path)
    for clip in range(len(store)):
        store.read_clip(clip)
        store.frame_slice(clip)
    store.load_vectors("lite")
    store.load_regions("lite")[:]
    store.load_captions("lite")


def _spoil(generator: Random, path: Path, spoilt: Collection[Path]) -> None:
    """Change one file of a store, or put something else in its place."""
    if not path.is_file() or path.is_symlink():
        return
    if generator.random() < 0.05:
        path.unlink()
        if generator.random() < 0.7:
            generator.choice(
                (
                    os.mkfifo,
                    os.mkdir,
                    lambda place: os.symlink("/dev/zero", place),
                    lambda place: os.symlink(place, place),
                )
            )(path)
    elif path.suffix == ".json" and path not in spoilt and generator.random() < 0.85:
        path.write_text(mutated_json(generator, json.loads(path.read_text())), errors="surrogatepass")
    elif path.suffix == ".jsonl" and path not in spoilt and generator.random() < 0.85:
        lines = path.read_text().splitlines()
        number = generator.randrange(len(lines))
        lines[number] = mutated_json(generator, json.loads(lines[number]))
        path.write_text("\n".join(lines) + "\n", errors="surrogatepass")
    elif path.suffix == ".safetensors" and path not in spoilt and generator.random() < 0.6:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = mutated_json(generator, json.loads(data[8 : 8 + length])).encode("utf-8", "surrogatepass")
        path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    else:
        path.write_bytes(mutated_bytes(generator, path.read_bytes()))
