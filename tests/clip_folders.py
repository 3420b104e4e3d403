"""Folders of tiny videos, and an encoder that needs no files, for the tests of preparing, embedding and the store."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trisep.media.audio_writer import write_audio
from trisep.media.video_writer import write_video
from trisep.types import Audio

RATE_HZ = 16000


def tone(seconds: float, *, frequency_hz: float = 440.0, amplitude: float = 0.1) -> Audio:
    """A sine, mono."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return Audio((amplitude * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)[None], RATE_HZ)


def pictures(seconds: float, *, fps: float = 5.0, seed: int = 0) -> list[np.ndarray]:
    """Frames of one colour each, 48 × 64."""
    colours = np.random.default_rng(seed).integers(0, 256, (round(seconds * fps), 3), dtype=np.uint8)
    return [np.full((48, 64, 3), colour, np.uint8) for colour in colours]


def write_clip(path: Path, *, seconds: float = 2.0, seed: int = 0, amplitude: float = 0.1, sound: bool = True) -> None:
    """A video whose tone and colours depend on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = tone(seconds, frequency_hz=200.0 + 50.0 * seed, amplitude=amplitude) if sound else None
    write_video(path, pictures(seconds, seed=seed), fps=5.0, audio=audio)


def write_folder(folder: Path, num_clips: int) -> Path:
    """Videos that all become clips, some of them in a folder below."""
    for seed in range(num_clips):
        write_clip(folder / ("below" if seed % 3 == 0 else ".") / f"v{seed:03d}.mp4", seed=seed)
    return folder


def write_unusable(folder: Path) -> dict[str, str]:
    """One file for each reason that needs no setting; returns the reason by source."""
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(folder / "quiet.mp4", amplitude=0.0)
    write_clip(folder / "mute.mp4", sound=False)
    write_clip(folder / "brief.mp4", seconds=0.4)
    write_audio(folder / "blind.wav", tone(2.0), subtype="wav_float32")
    (folder / "letter.mp4").write_text("Dear reader, this is not a video.\n" * 40, encoding="utf-8")
    (folder / "empty.mp4").write_bytes(b"")
    return {
        "quiet.mp4": "silent",
        "mute.mp4": "no sound",
        "brief.mp4": "too short",
        "blind.wav": "no picture",
        "letter.mp4": "broken",
        "empty.mp4": "broken",
    }


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class MeanColour:
    """An encoder of dimension 3: the mean colour, of the picture or of each cell."""

    name = "lite"
    dim = 3
    token_table = torch.zeros(1, 3)

    def __init__(self, fingerprint: str = "mean-colour") -> None:
        self.fingerprint = fingerprint

    def token_word(self, token_id: int) -> str:
        """Not asked for here."""
        raise AssertionError("nothing here asks for it")

    def encode_image(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """Mean over the picture."""
        return torch.stack([torch.from_numpy(frame.astype(np.float32).mean(axis=(0, 1))) for frame in frames])

    def encode_regions(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """Mean over each cell of 7 × 7."""
        images = [torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1) for frame in frames]
        return torch.stack([torch.nn.functional.adaptive_avg_pool2d(image, 7).permute(1, 2, 0) for image in images])

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Not asked for here."""
        raise AssertionError("nothing here asks for it")

    def encode_tokens(self, token_embeddings: torch.Tensor) -> torch.Tensor:
        """Not asked for here."""
        raise AssertionError("nothing here asks for it")
