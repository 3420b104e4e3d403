"""Checkpoints of untrained networks, as the tests of the analyses look into them."""

from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from trisep.checkpoints.format import save_model
from trisep.types import SignalSettings


def save_checkpoint(
    folder: Path,
    module: ModuleType,
    config: Any,
    signal: SignalSettings | None = None,
    *,
    encoder: str = "lite",
    fingerprint: str = "noise",
) -> Path:
    """A network with the same fresh weights each time, that says it learned with the encoder of the test stores."""
    torch.manual_seed(0)
    card = {
        "signal": asdict(signal or SignalSettings(clip_samples=16383)),
        "encoder": encoder,
        "encoder_fingerprint": fingerprint,
    }
    save_model(folder, config.build(), model_name=module.__name__.rpartition(".")[2], card=card)
    return folder
