"""A small clip store with made-up embeddings, and recipes cut down to it, for the tests of everything that trains."""

import hashlib
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from clip_folders import write_folder
from safetensors.numpy import load_file

from trisep.models.clipsep import Config
from trisep.networks.audio_unet import UNetConfig
from trisep.recipes import Recipe, TrainingConfig, recipe
from trisep.store.embeddings import write_embeddings
from trisep.store.layout import box_path, caption_path, embedding_path, read_manifest
from trisep.store.prepare import PrepareSettings, prepare
from trisep.store.read import ClipStore


def embed_with_noise(store: Path, *, encoder: str = "lite", dim: int = 384, seed: int = 0) -> Path:
    """Random vectors of unit length in the place of what an encoder says of frames, regions, boxes and, as latent
    captions, of clips. Every frame but each fourth has two boxes, the left half and the middle.
    """
    generator = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        values = generator.standard_normal((*shape, dim)).astype(np.float32)
        return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))

    for shard in read_manifest(store).shards:
        origin = {"encoder": encoder, "fingerprint": "noise", "shard_sha256": shard.sha256}
        frames = {"vectors": noise(shard.num_frames), "regions": noise(shard.num_frames, 7, 7).astype(np.float16)}
        write_embeddings(embedding_path(store, shard.name, encoder), frames, **origin)
        clips = {
            "captions": noise(shard.num_clips),
            "tokens": noise(shard.num_clips, 3),
            "cosines": np.ones(shard.num_clips, np.float32),
        }
        write_embeddings(caption_path(store, shard.name, encoder), clips, **origin)
        seen = np.array([frame for frame in range(shard.num_frames) if frame % 4 != 3 for _ in range(2)], np.int32)
        boxes = {
            "vectors": noise(len(seen)),
            "places": np.array([(0, 0, 0.5, 1), (0.25, 0, 0.5, 1)] * (len(seen) // 2), np.float32).reshape(-1, 4),
            "labels": np.array([frame % 3 for frame in range(len(seen))], np.int32),
            "frames": seen,
        }
        names = {"names": ["violin", "tuba", "harp"]}
        write_embeddings(box_path(store, shard.name, encoder), boxes, **origin, settings=names)
    return store


def make_store(folder: Path, *, num_clips: int = 6) -> Path:
    """Videos of tones, prepared and embedded."""
    videos = write_folder(folder / "videos", num_clips)
    prepare(videos, folder / "store", PrepareSettings(files_per_shard=8, short_side=32, num_workers=1))
    return embed_with_noise(folder / "store")


def without_pictures(store: Path, out: Path, *, clips: Collection[int]) -> ClipStore:
    """A copy of a store of one shard in which some clips have no picture."""
    shutil.copytree(store, out)
    lines = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]
    for number in clips:
        lines[number] |= {"frames": [], "frame_times_seconds": []}
    (out / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["num_frames"] = manifest["shards"][0]["num_frames"] = sum(len(line["frames"]) for line in lines)
    (out / "manifest.json").write_text(json.dumps(manifest))
    return ClipStore(embed_with_noise(out))


def on_this_machine(whole: Recipe) -> Recipe:
    """The recipe at the store's rate, with `lite` in the place of an encoder whose weights do not come with the
    package.
    """
    whole = replace(whole, signal=replace(whole.signal, sample_rate_hz=16000))
    if whole.encoder in ("lite", "none"):
        return whole
    return replace(whole, encoder="lite", model=replace(whole.model, embedding_dim=384))  # type: ignore[type-var]


def write_labels(store: Path, file: Path) -> Path:
    """Clip i is a violin, a tuba, a violin, …; the file's paths lead through a folder of their own, and it holds a
    third label.
    """
    clips = ClipStore(store)
    rows = [f"train/{clips.source(clip)},{('violin', 'tuba')[clip % 2]}" for clip in range(len(clips))]
    file.write_text("\n".join(["path,label", *rows, "train/other.mp4,harp"]) + "\n")
    return file


class Words:
    """In the place of the encoder that embedded a store with noise: words by their letters."""

    name = "lite"
    dim = 384
    fingerprint = "noise"
    token_table = torch.zeros(0, 384)

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Drawn from the sum of the letters."""
        return torch.stack(
            [torch.randn(384, generator=torch.Generator().manual_seed(sum(text.encode()))) for text in texts]
        )

    def encode_image(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """Not asked for here."""
        raise AssertionError("training on a store looks at no picture and seeks no caption")

    def encode_regions(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """Not asked for here."""
        raise AssertionError("training on a store looks at no picture and seeks no caption")

    def encode_tokens(self, token_embeddings: torch.Tensor) -> torch.Tensor:
        """Not asked for here."""
        raise AssertionError("training on a store looks at no picture and seeks no caption")

    def encode_audio(self, waveform: torch.Tensor, sample_rate_hz: int) -> torch.Tensor:
        """Drawn from the number of samples; the loudness first."""
        vectors = torch.randn(384, generator=torch.Generator().manual_seed(waveform.shape[1])).repeat(len(waveform), 1)
        vectors[:, 0] = waveform.square().mean(dim=1).sqrt()
        return vectors

    def encode_audio_seconds(self, waveform: torch.Tensor, sample_rate_hz: int) -> torch.Tensor:
        """Not asked for here."""
        raise AssertionError("training on a store embeds stretches as a whole")

    def token_word(self, token_id: int) -> str:
        """Not asked for here."""
        raise AssertionError("training on a store looks at no picture and seeks no caption")


class Loudness:
    """An audio teacher whose vectors hold the sound's RMS and its rate."""

    name = "loudness"
    sample_rate_hz = 8000
    fingerprint = "loud"

    def __init__(self, dim: int = 512) -> None:
        self.dim = dim

    def encode_audio(self, waveform: torch.Tensor, sample_rate_hz: int) -> torch.Tensor:
        """RMS first, then the rate, then noughts."""
        vectors = torch.zeros(len(waveform), self.dim)
        vectors[:, 0], vectors[:, 1] = waveform.square().mean(dim=1).sqrt(), sample_rate_hz
        return vectors


def short_recipe(num_steps: int = 4, **training: object) -> Recipe:
    """The default model's recipe on a network of a few hundred weights, in single precision."""
    tiny = recipe("clipsep-avmini").tiny()
    settings = {
        "num_steps": num_steps,
        "batch_size": 2,
        "checkpoint_steps": 2,
        "validation_steps": num_steps,
        "ema_decay": 0.9,
        **training,
    }
    return replace(
        tiny,
        model=Config(
            embedding_dim=384,
            unet=UNetConfig(num_levels=2, base_width=2, max_width=4, out_channels=2),
            normalize_query=True,
        ),
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
