"""Untrained networks and an encoder that needs no files, for the tests of how a mixture is asked for and scored."""

from collections.abc import Sequence
from pathlib import Path

import torch
from clip_folders import MeanColour

from trisep.checkpoints.format import Checkpoint
from trisep.models import clipsep
from trisep.networks.audio_unet import UNetConfig
from trisep.types import SignalSettings

UNET = UNetConfig(num_levels=2, base_width=2, max_width=4, out_channels=2)
CLIPSEP = clipsep.Config(embedding_dim=3, unet=UNET)


class ColoursAndWords(MeanColour):
    """Also embeds words: by their length."""

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """The number of letters, three times."""
        return torch.tensor([[float(len(text))] * 3 for text in texts])


def checkpoint(config: object, card: dict[str, object] | None = None) -> Checkpoint:
    """A network with fresh weights, the same each time."""
    torch.manual_seed(0)
    network = config.build().eval().requires_grad_(False)  # type: ignore[attr-defined]
    return Checkpoint(
        model=network,
        model_name="net",
        signal=SignalSettings(),
        encoder="lite",
        encoder_fingerprint="",
        card=card or {},
        path=Path("ours"),
    )
