"""A small clip store with made-up embeddings, and recipes cut down to it, for the tests of everything that trains."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from clip_folders import write_folder
from safetensors.numpy import load_file

from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.prepare import PrepareSettings, prepare
from trisep.recipes import Recipe, TrainingConfig, recipe
from trisep.store.embeddings import write_embeddings
from trisep.store.layout import caption_path, embedding_path, read_manifest


def embed_with_noise(store: Path, *, encoder: str = "lite", dim: int = 384, seed: int = 0) -> Path:
    """Random vectors of unit length in the place of what an encoder says of frames, regions and, as latent captions, of clips."""
    generator = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        values = generator.standard_normal((*shape, dim)).astype(np.float32)
        return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))

    for shard in read_manifest(store).shards:
        origin = {"encoder": encoder, "fingerprint": "noise", "shard_sha256": shard.sha256}
        frames = {"vectors": noise(shard.num_frames), "regions": noise(shard.num_frames, 7, 7).astype(np.float16)}
        write_embeddings(embedding_path(store, shard.name, encoder), frames, **origin)
        clips = {"captions": noise(shard.num_clips), "tokens": noise(shard.num_clips, 3), "cosines": np.ones(shard.num_clips, np.float32)}
        write_embeddings(caption_path(store, shard.name, encoder), clips, **origin)
    return store


def make_store(folder: Path, *, num_clips: int = 6) -> Path:
    """Videos of tones, prepared and embedded."""
    videos = write_folder(folder / "videos", num_clips)
    prepare(videos, folder / "store", PrepareSettings(files_per_shard=8, short_side=32, num_workers=1))
    return embed_with_noise(folder / "store")


def on_this_machine(whole: Recipe) -> Recipe:
    """The recipe, with `lite` in the place of an encoder whose weights do not come with the package."""
    if whole.encoder == "lite":
        return whole
    signal = replace(whole.signal, sample_rate_hz=16000)
    return replace(whole, encoder="lite", signal=signal, model=replace(whole.model, embedding_dim=384))  # type: ignore[type-var]


def short_recipe(num_steps: int = 4, **training: object) -> Recipe:
    """The default model's recipe on a network of a few hundred weights, in single precision."""
    tiny = recipe("clipsep-avmini").tiny()
    settings = {"num_steps": num_steps, "batch_size": 2, "checkpoint_steps": 2, "validation_steps": num_steps, "ema_decay": 0.9, **training}
    return replace(
        tiny,
        model=Config(embedding_dim=384, unet=UNetConfig(num_levels=2, base_width=2, max_width=4, out_channels=2), normalize_query=True),
        training=TrainingConfig(num_validation_mixtures=1, **settings),  # type: ignore[arg-type]
    )


def tensor_hashes(run: Path) -> dict[str, str]:
    """SHA-256 of every tensor and state file below a run folder, by its name."""
    found = {}
    for file in sorted(run.rglob("*.safetensors")):
        for name, value in load_file(file).items():
            found[f"{file.relative_to(run)}:{name}"] = hashlib.sha256(value.tobytes()).hexdigest()
    for file in sorted(run.glob("states/*/state.json")):
        found[str(file.relative_to(run))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found
