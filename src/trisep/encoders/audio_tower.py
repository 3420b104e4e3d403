"""The audio tower of `lite`: sound → logits of C kinds of sound, over the whole sound and over time.

A small residual convolutional network (He et al. 2016) reads the log-mel spectrogram of the project's own STFT. It was
trained here by distillation (Hinton et al. 2015) from EfficientAT mn04, corrected by labels, and starts from no
published weights; the recipe is `scripts/train_audio_tower.py`, and what it was trained on is in the card
`pretrained/audio_tower.json`. The classes are AudioSet's 527 and those labels that AudioSet lacks (bassoon, washing
machine). Beside the weights are their names and text embeddings; this file computes none.
"""

import json
import math
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex, Float
from safetensors import safe_open
from torch import Tensor, nn

from trisep import pretrained
from trisep.encoders.resample import resample
from trisep.media.files import sha256_of
from trisep.media.level import gain_to
from trisep.spectrogram.stft import StreamedSTFT
from trisep.types import SignalSettings


def mel_triangles(
    num_bands: int, *, window_samples: int, sample_rate_hz: int, top_hz: float
) -> Float[Tensor, "bands bins"]:
    """Compute the weights of the FFT bins in Kaldi's mel bands, float32.

    The bands are triangles in mel, equally wide, from 0 Hz to `top_hz`, of height 1. Kaldi's mel is 1127 ln(1 + f / 700
    Hz). Bands that are narrower than a bin may hold none and stay silent.
    """
    bins_hz = torch.arange(window_samples // 2 + 1, dtype=torch.float64) * sample_rate_hz / window_samples
    mels = 1127 * torch.log1p(torch.cat([bins_hz, bins_hz.new_tensor([top_hz])]) / 700)
    width = mels[-1] / (num_bands + 1)
    centres = width * torch.arange(1, num_bands + 1)
    return (1 - (mels[:-1] - centres[:, None]).abs() / width).clamp(min=0).float()


SIGNAL = SignalSettings()
"""16 kHz, windows of 1024 samples, hop of 256 samples: the transform of the separators."""
FRAMES_PER_STEP = 16
"""Spectrogram frames that one step of the network covers: 0.256 s."""
LEVEL_DB = -20.0
"""RMS in dBFS to which every sound is brought before it is heard; the network was trained around it."""
_FILE = Path(pretrained.__file__).parent / "audio_tower.safetensors"
_STEP_SAMPLES = FRAMES_PER_STEP * SIGNAL.hop_samples
PORTION_SAMPLES = 240 * _STEP_SAMPLES
"""A minute of sound is transformed at a time, so that memory does not grow with the spectrogram of an hour."""

_SPECTRA_SAMPLES = 1 << 16
"""Of so many samples spectra are in memory at a time; those of a minute, and what is made of them, take 80 MB."""
_NUM_BANDS = 64
_WIDTHS = (24, 32, 96, 128)
_EMBEDDING_DIM = 256
_HIDDEN_DIM = 384
_FLOOR, _CENTRE, _SCALE = 1e-3, 2.0, 4.0
_SILENCE = (math.log(_FLOOR) - _CENTRE) / _SCALE
_MIN_STEPS = 2
"""Convolutions in bfloat16 whose output is one frame wide are not computed correctly everywhere."""


def log_mel(waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 64 T"]:
    """Compute the log-mel spectrogram that the network reads, of sound at 16 kHz: (ln(power + 1e-3) − 2) / 4.

    T = ⌊S / 256⌋: the last frame of the centred transform, most of which lies beyond the end, is left out.
    """
    bands = mel_triangles(
        _NUM_BANDS,
        window_samples=SIGNAL.window_samples,
        sample_rate_hz=SIGNAL.sample_rate_hz,
        top_hz=SIGNAL.sample_rate_hz / 2,
    ).to(waveform.device)
    stream = StreamedSTFT(SIGNAL, num_channels=len(waveform), device=waveform.device)

    def power_of(frames: Complex[Tensor, "B K F"]) -> Float[Tensor, "B 64 K"]:
        """Add up the power of the bins of each band."""
        in_bands: Tensor = bands @ frames.abs().square().transpose(1, 2)
        return in_bands

    powers = [power_of(stream.push(part)) for part in torch.split(waveform, _SPECTRA_SAMPLES, dim=-1)]
    powers.append(power_of(stream.finish()))
    power = torch.cat(powers, dim=-1)[..., : max(1, waveform.shape[-1] // SIGNAL.hop_samples)]
    return ((power + _FLOOR).log() - _CENTRE) / _SCALE


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with batch norm beside a shortcut."""

    def __init__(self, channels: int) -> None:
        """Build the layers."""
        super().__init__()
        self.block = nn.Sequential(_convolution(channels, channels), nn.ReLU(), _convolution(channels, channels))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Apply the block."""
        result: Tensor = (x + self.block(x)).relu()
        return result


class AudioTowerNetwork(nn.Module):
    """Log-mel spectrogram [B, 64, T] → embeddings [B, N, 256] of N = ⌈T / 16⌉ steps of 0.256 s.

    `classify` turns an embedding, or a mean of embeddings over time, into logits.
    """

    def __init__(self, num_classes: int) -> None:
        """Build the layers for so many classes."""
        super().__init__()
        first, second, *widths = _WIDTHS
        layers: list[nn.Module] = [
            _convolution(1, first, 4, kernel=5),
            nn.ReLU(),
            _convolution(first, second),
            nn.ReLU(),
        ]
        channels = second
        for width in widths:
            layers += [_convolution(channels, width, 2), nn.ReLU(), ResidualBlock(width)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.embedding = nn.Linear(channels * _NUM_BANDS // FRAMES_PER_STEP, _EMBEDDING_DIM)
        self.hidden = nn.Linear(_EMBEDDING_DIM, _HIDDEN_DIM)
        self.classes = nn.Linear(_HIDDEN_DIM, num_classes)

    def forward(self, picture: Float[Tensor, "B 64 T"]) -> Float[Tensor, "B N 256"]:
        """Embed every step; frames beyond the end are filled with silence."""
        num_steps = -(-picture.shape[-1] // FRAMES_PER_STEP)
        missing = max(_MIN_STEPS, num_steps) * FRAMES_PER_STEP - picture.shape[-1]
        padded = nn.functional.pad(picture, (0, missing), value=_SILENCE)[:, None]
        maps = self.features(padded.to(memory_format=torch.channels_last))
        embedding: Tensor = self.embedding(maps.permute(0, 3, 1, 2).flatten(2)[:, :num_steps])
        return embedding.relu()

    def classify(self, embedding: Float[Tensor, "*B 256"]) -> Float[Tensor, "*B C"]:
        """Apply the two linear layers; the sigmoids of the logits are independent probabilities."""
        logits: Tensor = self.classes(self.hidden(embedding).relu())
        return logits


def _convolution(in_channels: int, out_channels: int, stride: int = 1, *, kernel: int = 3) -> nn.Sequential:
    """Build a convolution with batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out_channels)
    )


class SoundClasses:
    """The frozen audio tower, which is an `AudioTeacher`, too. It is loaded when it is first used."""

    name = "lite"
    dim = _EMBEDDING_DIM
    sample_rate_hz = SIGNAL.sample_rate_hz

    @cached_property
    def names(self) -> tuple[str, ...]:
        """AudioSet's display names, in its order, then the other classes."""
        with safe_open(_FILE, framework="pt") as file:
            return tuple(json.loads(file.metadata()["classes"]))

    @cached_property
    def embeddings(self) -> Float[Tensor, "C 384"]:
        """Text embeddings of the names (mean over templates and synonyms, unit length)."""
        return self._stored("class_embeddings")

    @cached_property
    def usual(self) -> tuple[Float[Tensor, "C"], Float[Tensor, "C"]]:
        """Mean and standard deviation of each class's logit over the training sounds."""
        return self._stored("logit_mean"), self._stored("logit_deviation")

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes whenever what is heard could change."""
        return sha256_of(_FILE)[:16]

    def logits(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B C"]:
        """Hear each sound as a whole; the sigmoids of the logits are independent probabilities."""
        return self.classify(self.encode_audio(waveform, sample_rate_hz))

    def encode_audio(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B 256"]:
        """Embed each sound as a whole: the mean over its steps, before the classes. Full scale is ±1."""
        return self._steps(waveform, sample_rate_hz).mean(dim=1)

    def logits_per_second(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B N C"]:
        """Hear every second, N = ⌈S / rate⌉: the steps of 0.256 s whose middle lies in it, or the nearest one."""
        steps = self._steps(waveform, sample_rate_hz)
        middles = (np.arange(steps.shape[1]) + 0.5) * _STEP_SAMPLES / SIGNAL.sample_rate_hz
        seconds = range(max(1, -(-waveform.shape[-1] // sample_rate_hz)))
        inside = [np.flatnonzero(middles.astype(int) == second) for second in seconds]
        nearest = [[int(np.abs(middles - second - 0.5).argmin())] for second in seconds]
        pooled = [
            steps[:, torch.as_tensor(rows if len(rows) else one)].mean(dim=1)
            for rows, one in zip(inside, nearest, strict=True)
        ]
        return self.classify(torch.stack(pooled, dim=1))

    @torch.no_grad()
    def embed_portion(self, sounds: Float[Tensor, "B n"]) -> Float[Tensor, "B N 256"]:
        """Embed every step of 0.256 s of at most a minute (`PORTION_SAMPLES`) at 16 kHz, whose level is kept."""
        embeddings: Tensor = self.network(log_mel(sounds))
        return embeddings

    def classify(self, embeddings: Float[Tensor, "*B 256"]) -> Float[Tensor, "*B C"]:
        """Turn the embedding of a step, or a mean over steps, into logits."""
        return self.network.classify(embeddings)

    @torch.no_grad()
    def _steps(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B N 256"]:
        """Embed every step of 0.256 s of each sound, brought to the level that the network expects."""
        waveform = torch.nn.functional.pad(waveform, (0, max(0, 1 - waveform.shape[-1])))
        sounds = resample(waveform.detach().cpu().float(), sample_rate_hz, SIGNAL.sample_rate_hz)
        gains = torch.tensor([float(gain_to(sound.numpy(), LEVEL_DB)) for sound in sounds])
        portions = torch.split(sounds * gains[:, None], PORTION_SAMPLES, dim=-1)
        return torch.cat([self.embed_portion(portion) for portion in portions], dim=1)

    @cached_property
    def network(self) -> AudioTowerNetwork:
        """The network, in eval mode."""
        network = AudioTowerNetwork(len(self.names))
        counters = {name: value for name, value in network.state_dict().items() if not value.is_floating_point()}
        network.load_state_dict(
            counters | {name: self._stored(name) for name in network.state_dict() if name not in counters}
        )
        network.eval().requires_grad_(False)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _stored(self, name: str) -> Tensor:
        with safe_open(_FILE, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name).float()
        return tensor
