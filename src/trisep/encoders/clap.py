"""CLAP (Wu et al. 2023) as an audio teacher, through transformers: it embeds a sound as one vector. Frozen.

The vector lies in the space that CLAP's sounds and texts share. HFRA aligns with CLAP and does not name the checkpoint;
ours is `laion/clap-htsat-unfused`. The weights, safetensors and no pickle, are searched in the hub's local cache or
in the folder that `TRISEP_CLAP` names. Nothing is downloaded. This file does not use CLAP's text encoder.
"""

import os
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ClapFeatureExtractor, ClapModel

from trisep.encoders.fingerprint import weights_fingerprint
from trisep.encoders.resample import resample
from trisep.errors import CheckpointError

PLACE_VARIABLE = "TRISEP_CLAP"
"""Environment variable: a folder as transformers saves it, or a repository of the hub that is in the local cache."""
HUB = "laion/clap-htsat-unfused"


def clap_place() -> str:
    """Return the place that CLAP is loaded from: the one that `TRISEP_CLAP` names, else our checkpoint on the hub."""
    return os.environ.get(PLACE_VARIABLE) or HUB


class Clap:
    """The audio encoder of a CLAP.

    Embeddings are the projected ones, not of unit length. The fingerprint is a hash of the weights. A sound shorter
    than CLAP's ten seconds is repeated to fill them, as its feature extractor does. Of a longer sound the middle is
    embedded. The extractor takes random parts; here an embedding is a function of the sound.
    """

    name = "clap"

    def __init__(self, place: str, *, device: torch.device | str = "cpu") -> None:
        """Load a folder, or a hub repository from the local cache.

        Raises CheckpointError when it is missing, damaged, or not CLAP.
        """
        try:
            loaded: Any = ClapModel.from_pretrained(
                place, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self._extractor = ClapFeatureExtractor.from_pretrained(place, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
            raise CheckpointError(
                f"teacher 'clap': nothing to load at {place} ({reason}); run `hf download {HUB}`, or set "
                f"{PLACE_VARIABLE} to its folder"
            ) from error
        model, found = loaded
        if missing := sorted(found["missing_keys"]):
            raise CheckpointError(
                f"teacher 'clap': {place} is not CLAP, it lacks {missing[0]} and {len(missing) - 1} more; give {HUB}"
            )
        self._device = torch.device(device)
        # The text encoder is not kept.
        self._network = nn.ModuleDict({"audio": model.audio_model, "projection": model.audio_projection})
        self._network.float().eval().requires_grad_(False).to(self._device)
        self.dim = int(model.config.projection_dim)
        self.sample_rate_hz = int(self._extractor.sampling_rate)
        self.fingerprint = weights_fingerprint(self._network.state_dict())

    @torch.no_grad()
    def encode_audio(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B E"]:
        """Embed sounds of at least one sample, full scale ±1; the computation is float32 under autocast too."""
        if not len(waveform):
            return torch.zeros(0, self.dim, device=waveform.device)
        sounds = resample(waveform, sample_rate_hz, self.sample_rate_hz).cpu()
        begin = max(0, sounds.shape[1] - self._extractor.nb_max_samples) // 2
        middles = list(sounds[:, begin : begin + self._extractor.nb_max_samples].numpy())
        features = self._extractor(middles, sampling_rate=self.sample_rate_hz, return_tensors="pt")["input_features"]
        # The extractor marks one sound of each batch as longer at random, which would make its embedding depend on the
        # others.
        is_longer = torch.zeros(len(waveform), 1, dtype=torch.bool, device=self._device)
        with torch.autocast(self._device.type, enabled=False):
            pooled = self._network["audio"](features.float().to(self._device), is_longer=is_longer).pooler_output
            embedded: Tensor = self._network["projection"](pooled)
        return embedded.to(waveform.device)
