"""AudioSet's 527 classes as `lite` hears and names them: sound → logits, over the whole sound and in every second.

The weights, the names and their text embeddings are in `pretrained/audio_tower.safetensors`, made by
`scripts/train_audio_tower.py`; `pretrained/audio_tower.json` is the card. This file computes no text embedding.
"""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from trisep import pretrained
from trisep.encoders.audio_tower import FRAMES_PER_STEP, SIGNAL, AudioTowerNetwork, log_mel
from trisep.encoders.resample import resample
from trisep.media.files import sha256_of
from trisep.media.level import gain_to

LEVEL_DB = -20.0
"""RMS in dBFS to which every sound is brought before it is heard; the network was trained around it."""
_FILE = Path(pretrained.__file__).parent / "audio_tower.safetensors"
_STEP_SAMPLES = FRAMES_PER_STEP * SIGNAL.hop_samples
PORTION_SAMPLES = 240 * _STEP_SAMPLES
"""A minute of sound is transformed at a time, so that memory does not grow with the spectrogram of an hour."""


class SoundClasses:
    """The frozen audio tower. It is loaded when it is first used."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """AudioSet's display names, in its order."""
        with safe_open(_FILE, framework="pt") as file:
            return tuple(json.loads(file.metadata()["classes"]))

    @cached_property
    def embeddings(self) -> Float[Tensor, "527 384"]:
        """Text embeddings of the names (mean over templates and synonyms, unit length)."""
        return self._stored("class_embeddings")

    @cached_property
    def usual(self) -> tuple[Float[Tensor, "527"], Float[Tensor, "527"]]:
        """Mean and standard deviation of each class's logit over the training sounds."""
        return self._stored("logit_mean"), self._stored("logit_deviation")

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes whenever what is heard could change."""
        return sha256_of(_FILE)[:16]

    def logits(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B 527"]:
        """Hear each sound as a whole; the sigmoids of the logits are independent probabilities."""
        return self.classify(self._steps(waveform, sample_rate_hz).mean(dim=1))

    def logits_per_second(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B N 527"]:
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
        embeddings: Tensor = self._network(log_mel(sounds))
        return embeddings

    def classify(self, embeddings: Float[Tensor, "*B 256"]) -> Float[Tensor, "*B 527"]:
        """Turn the embedding of a step, or a mean over steps, into logits."""
        return self._network.classify(embeddings)

    @torch.no_grad()
    def _steps(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B N 256"]:
        """Embed every step of 0.256 s of each sound, brought to the level that the network expects."""
        waveform = torch.nn.functional.pad(waveform, (0, max(0, 1 - waveform.shape[-1])))
        sounds = resample(waveform.detach().cpu().float(), sample_rate_hz, SIGNAL.sample_rate_hz)
        gains = torch.tensor([float(gain_to(sound.numpy(), LEVEL_DB)) for sound in sounds])
        portions = torch.split(sounds * gains[:, None], PORTION_SAMPLES, dim=-1)
        return torch.cat([self.embed_portion(portion) for portion in portions], dim=1)

    @cached_property
    def _network(self) -> AudioTowerNetwork:
        network = AudioTowerNetwork()
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
