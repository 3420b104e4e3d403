"""CLAP (Wu et al. 2023) as an audio teacher, through transformers: sound → its vector in CLAP's space of sounds and
words. Frozen.

HFRA aligns with CLAP and does not say with which checkpoint; ours is `laion/clap-htsat-unfused`. It is looked for in
the hub's local cache or in the folder that `TRISEP_CLAP` names. Nothing is downloaded.
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
    """Where CLAP is loaded from: what `TRISEP_CLAP` names, else our checkpoint on the hub."""
    return os.environ.get(PLACE_VARIABLE) or HUB


class Clap:
    """The sound side of a CLAP. Embeddings are the projected ones, not of unit length; the fingerprint is a hash of the
    weights.

    A sound shorter than CLAP's ten seconds is repeated to fill them, as its feature extractor does. Of a longer one the
    middle is heard: the extractor takes random parts, and here an embedding is a function of the sound.
    """

    name = "clap"

    def __init__(self, place: str, *, device: torch.device | str = "cpu") -> None:
        """Load a folder, or a hub repository from the local cache. CheckpointError when it is missing, damaged or no
        CLAP.
        """
        try:
            loaded: Any = ClapModel.from_pretrained(place, local_files_only=True, output_loading_info=True)
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
                f"teacher 'clap': {place} is no CLAP, it lacks {missing[0]} and {len(missing) - 1} more; give {HUB}"
            )
        self._device = torch.device(device)
        # The words' side is let go of.
        self._network = nn.ModuleDict({"audio": model.audio_model, "projection": model.audio_projection})
        self._network.float().eval().requires_grad_(False).to(self._device)
        self.dim = int(model.config.projection_dim)
        self.sample_rate_hz = int(self._extractor.sampling_rate)
        self.fingerprint = weights_fingerprint(self._network.state_dict())

    @torch.no_grad()
    def encode_audio(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B E"]:
        """Embed sounds of at least one sample, full scale ±1; float32, whatever autocast says."""
        if not len(waveform):
            return torch.zeros(0, self.dim, device=waveform.device)
        sounds = resample(waveform, sample_rate_hz, self.sample_rate_hz).cpu()
        begin = max(0, sounds.shape[1] - self._extractor.nb_max_samples) // 2
        heard = list(sounds[:, begin : begin + self._extractor.nb_max_samples].numpy())
        features = self._extractor(heard, sampling_rate=self.sample_rate_hz, return_tensors="pt")["input_features"]
        # The extractor marks one sound of each batch as longer at random, which would make its embedding depend on the
        # others.
        is_longer = torch.zeros(len(waveform), 1, dtype=torch.bool, device=self._device)
        with torch.autocast(self._device.type, enabled=False):
            heard_as = self._network["audio"](features.float().to(self._device), is_longer=is_longer).pooler_output
            embedded: Tensor = self._network["projection"](heard_as)
        return embedded.to(waveform.device)
