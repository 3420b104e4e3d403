"""The audio tower of `lite`: sound → logits of AudioSet's 527 classes, over the whole sound and over time.

A small residual convolutional network (He et al. 2016) reads the log-mel spectrogram of the project's own STFT. It was
trained here by distillation (Hinton et al. 2015) from EfficientAT mn04 and starts from no published weights; the recipe
is `scripts/train_audio_tower.py`, and what it was trained on is in the card beside the weights. This file knows no text
and no space.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trisep.encoders.mel import mel_triangles
from trisep.spectrogram.stft import stft
from trisep.types import SignalSettings

SIGNAL = SignalSettings()
"""16 kHz, windows of 1024 samples, hop of 256 samples: the transform of the separators."""
NUM_CLASSES = 527
FRAMES_PER_STEP = 16
"""Spectrogram frames that one step of the network covers: 0.256 s."""

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
    magnitude = stft(waveform, SIGNAL).abs()[..., : max(1, waveform.shape[-1] // SIGNAL.hop_samples)]
    bands = mel_triangles(
        _NUM_BANDS,
        window_samples=SIGNAL.window_samples,
        sample_rate_hz=SIGNAL.sample_rate_hz,
        top_hz=SIGNAL.sample_rate_hz / 2,
    )
    power: Tensor = bands.to(waveform.device) @ magnitude.square()
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

    def __init__(self) -> None:
        """Build the layers."""
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
        self.classes = nn.Linear(_HIDDEN_DIM, NUM_CLASSES)

    def forward(self, picture: Float[Tensor, "B 64 T"]) -> Float[Tensor, "B N 256"]:
        """Embed every step; frames beyond the end are filled with silence."""
        num_steps = -(-picture.shape[-1] // FRAMES_PER_STEP)
        missing = max(_MIN_STEPS, num_steps) * FRAMES_PER_STEP - picture.shape[-1]
        padded = nn.functional.pad(picture, (0, missing), value=_SILENCE)[:, None]
        maps = self.features(padded.to(memory_format=torch.channels_last))
        embedding: Tensor = self.embedding(maps.permute(0, 3, 1, 2).flatten(2)[:, :num_steps])
        return embedding.relu()

    def classify(self, embedding: Float[Tensor, "*B 256"]) -> Float[Tensor, "*B 527"]:
        """Apply the two linear layers; the sigmoids of the logits are independent probabilities."""
        logits: Tensor = self.classes(self.hidden(embedding).relu())
        return logits


def _convolution(in_channels: int, out_channels: int, stride: int = 1, *, kernel: int = 3) -> nn.Sequential:
    """Build a convolution with batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out_channels)
    )
