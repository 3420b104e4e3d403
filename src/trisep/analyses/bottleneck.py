"""Representations of single, unmixed clips: each network's bottleneck, pooled, and an audio teacher's embedding.

Of each clip the middle is used (as HFRA does in testing), as long as the network's training clips, at the level that
mixtures are brought to. This module knows no labels and no pictures.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track
from torch import Tensor

from trisep.checkpoints.format import Checkpoint, load_model
from trisep.checkpoints.registry import checkpoint_folder
from trisep.encoders import AudioTeacher
from trisep.errors import CheckpointError, StoreError
from trisep.media.level import gain_to
from trisep.separation.infer import network_input, round_up
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.stft import stft
from trisep.store.read import ClipStore
from trisep.training.data import read_crop

_CLIPS_AT_ONCE = 16


def load_models(names: Sequence[str], device: torch.device) -> dict[str, Checkpoint]:
    """Load the checkpoints onto a device, by the names that tables use.

    Raises CheckpointError for one that cannot be read, or that has no bottleneck because it reads waveforms.
    """
    loaded = {}
    for shown, name in zip(short_names(names), names, strict=True):
        loaded[shown] = load_model(checkpoint_folder(name))
        if loaded[shown].model.contract.domain == "waveform":
            raise CheckpointError(
                f"{name}: {loaded[shown].model_name} reads waveforms and has no bottleneck of the audio U-Net; "
                "give a model of spectrograms"
            )
        loaded[shown].model.to(device)
    return loaded


def short_names(names: Sequence[str]) -> list[str]:
    """Return the shortest ends of the paths that are all different.

    A last part "model", which the folder of every run has, is dropped first.
    """
    parts = [
        path.parts[:-1] if path.name == "model" and len(path.parts) > 1 else path.parts for path in map(Path, names)
    ]
    most = max(map(len, parts))
    shorter = (["/".join(one[-length:]) for one in parts] for length in range(1, most + 1))
    return next((short for short in shorter if len(set(short)) == len(short)), list(names))


def choose_clips(store: ClipStore, limit: int | None, seed: int) -> Int[np.ndarray, "n"]:
    """Return the numbers of all clips of a store, or of `limit` clips drawn at random; ascending."""
    drawn = np.random.default_rng(seed).permutation(len(store))[:limit]
    return np.sort(drawn)


def pooled_bottlenecks(
    checkpoint: Checkpoint, store: ClipStore, clips: Int[np.ndarray, "n"], *, device: torch.device
) -> Float[np.ndarray, "n C"]:
    """Return the network's bottleneck, averaged over frequency and time, for each clip; raw.

    Raises:
        StoreError: the store's sample rate is not the network's.
    """
    signal = checkpoint.signal
    if store.sample_rate_hz != signal.sample_rate_hz:
        raise StoreError(
            f"{store.path}: the store holds sound at {store.sample_rate_hz} Hz, {checkpoint.path} reads "
            f"{signal.sample_rate_hz}: prepare it again with --sample-rate-hz {signal.sample_rate_hz}"
        )
    pooled = []
    with torch.inference_mode():
        for sounds in _middles(store, clips, signal.clip_samples, f"run {checkpoint.path}"):
            levelled = np.stack([sound * gain_to(sound, signal.mixture_level_db) for sound in sounds])
            magnitude = to_log_frequency(stft(torch.from_numpy(levelled), signal).abs(), signal.num_log_bins)
            log_magnitude = network_input(
                magnitude, round_up(magnitude.shape[-1], checkpoint.model.contract.time_multiple)
            )
            innermost: Tensor = checkpoint.model.unet.encode(log_magnitude.to(device))[-1]
            pooled.append(innermost.float().mean(dim=(2, 3)).cpu().numpy())
    return np.concatenate(pooled)


def teacher_embeddings(
    teacher: AudioTeacher, store: ClipStore, clips: Int[np.ndarray, "n"], *, num_samples: int
) -> Float[np.ndarray, "n E"]:
    """Return an audio teacher's embedding of the middle `num_samples` samples of each clip; raw."""
    batches = _middles(store, clips, num_samples, f"run {teacher.name}")
    return np.concatenate(
        [teacher.encode_audio(torch.from_numpy(sounds), store.sample_rate_hz).numpy() for sounds in batches]
    )


def _middles(
    store: ClipStore, clips: Int[np.ndarray, "n"], num_samples: int, description: str
) -> Iterator[Float[np.ndarray, "b S"]]:
    """Yield the middle of each clip, a few clips at a time; a clip that is too short is repeated, as in training."""
    starts = range(0, len(clips), _CLIPS_AT_ONCE)
    for start in track(starts, description, console=Console(stderr=True), transient=True):
        yield np.stack(
            [read_crop(store, int(clip), 0.5, num_samples) for clip in clips[start : start + _CLIPS_AT_ONCE]]
        )
