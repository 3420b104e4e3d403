"""Checkpoints: a folder of safetensors and JSON, never pickle.

A model checkpoint is enough to separate; a training state is enough to continue a run. A folder is written under a
temporary name and moved into place, so a checkpoint that is visible is complete. This file knows no model names
and no training loop.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trisep.errors import CheckpointError, ConfigError
from trisep.media.files import replacing_folder, write_json
from trisep.media.records import checked, from_json, read_json
from trisep.media.tensor_files import write_tensors
from trisep.models import model_module
from trisep.networks.packed import keep_packed
from trisep.types import SignalSettings

FORMAT = 1
_FILES = {"model.safetensors", "config.json"}
_SCALE = ".int8_scale"
_Object = Mapping[str, Any]
_CARD: dict[str, Any] = {
    **{"model": str, "config": _Object, "signal": _Object, "encoder": str, "encoder_fingerprint": str},
    **{"recipe": _Object | None, "init": _Object | None, "step": int | None, "reach_frames": int | None},
    **{
        "metrics": _Object | None,
        "dev": _Object | None,
        "presence": _Object | None,
        "mask_calibration": _Object | None,
    },
    **{"labels": tuple[str, ...] | None, "name": str | None, "version": str | None, "description": str | None},
}
"""Types of the entries of a card that code reads; the first five have to be there. Others are for people."""
_REQUIRED = tuple(_CARD)[:5]
_SMALL_NETWORK = 1 << 28
"""Numbers of a network that is built whatever its file holds, so that the tensor that does not fit is named: 1 GB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A model and the settings that are needed to use it."""

    model: Any
    """A `trisep.models.Model`, in evaluation mode."""
    model_name: str
    signal: SignalSettings
    encoder: str
    encoder_fingerprint: str
    card: Mapping[str, Any]
    """The whole `config.json`: also recipe, step, metrics, presence calibration, git revision."""
    path: Path

    @property
    def reach_frames(self) -> int | None:
        """One-sided receptive field in frames, as the card states it; None where it does not.

        It is the largest distance at which an input frame can still change a mask.
        """
        reach = self.card.get("reach_frames")
        return reach if isinstance(reach, int) and reach >= 0 else None

    @property
    def learned_from_sounds(self) -> bool:
        """Whether its queries in training were what its encoder hears in an example sound."""
        return (self.card.get("recipe") or {}).get("query") in ("sound", "sound_text")


def save_model(
    folder: Path, model: nn.Module, *, model_name: str, card: Mapping[str, Any], packed: bool = False
) -> None:
    """Write `model.safetensors` and `config.json`; `packed` stores kernels in a quarter of their size (`pack`).

    An older checkpoint in `folder` is replaced, anything else there is a CheckpointError. `card` holds at least
    `signal` (`SignalSettings` as a dict), `encoder` and `encoder_fingerprint`.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    if packed:
        tensors = pack(tensors)
    shape = asdict(model.config)  # type: ignore[call-overload]
    config = {"format": FORMAT, "model": model_name, "config": shape, **card}
    require_replaceable(folder)
    with replacing_folder(folder) as temporary:
        write_tensors(temporary / "model.safetensors", tensors)
        write_json(temporary / "config.json", config)


def load_model(path: Path, *, packed: bool = False) -> Checkpoint:
    """Read a model checkpoint folder; `CheckpointError` names what is missing or does not fit.

    With `packed`, kernels that the file holds in 8 bits stay so in memory, and the model is for inference alone.
    """
    card = read_card(path)
    file = path / "config.json"
    try:
        config = from_json(model_module(card["model"]).Config, card["config"], "config")
        signal = from_json(SignalSettings, card["signal"], "signal")
        stored = _tensors(path)
        kernels = {key: stored[key] for key in stored if packed and stored[key].dtype == torch.int8}
        scales = {key: stored[key + _SCALE] for key in kernels if key + _SCALE in stored}
        tensors = unpack(stored)
        del stored
        model = _hollow(config, tensors)
    except ConfigError as error:
        raise CheckpointError(
            f"{file}: not a config this version reads ({error}); was it made by another version?"
        ) from error
    try:
        _fill(model, tensors)
        del tensors
        for key in scales:
            keep_packed(model.get_submodule(key.removesuffix(".weight")), kernels.pop(key), scales[key])
    except (RuntimeError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        file, reason = path / "model.safetensors", (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise CheckpointError(f"{file}: its tensors do not fit config.json: {reason}") from error
    model.eval().requires_grad_(False)
    return Checkpoint(
        model=model,
        model_name=card["model"],
        signal=signal,
        encoder=card["encoder"],
        encoder_fingerprint=card["encoder_fingerprint"],
        card=card,
        path=path,
    )


def read_card(path: Path) -> dict[str, Any]:
    """Read the `config.json` of a checkpoint folder."""
    file = path / "config.json"
    if not file.is_file():
        run = path / "model"
        hint = f"; of this run it is {run}" if (run / "config.json").is_file() else ""
        raise CheckpointError(
            f"{path}: not a checkpoint folder: it should hold config.json and model.safetensors{hint}"
        )
    try:
        card = read_json(file)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"{file}: expected a trisep checkpoint of format {FORMAT}")
    try:
        for name in (name for name in _REQUIRED if name not in card):
            raise ConfigError(f"{name} is missing")
        return card | {name: checked(kind, card[name], name) for name, kind in _CARD.items() if name in card}
    except ConfigError as error:
        raise CheckpointError(
            f"{file}: not a config this version reads ({error}); was it made by another version?"
        ) from error


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a training state: tensors as safetensors, plain values as JSON."""
    with replacing_folder(folder) as temporary:
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        write_tensors(temporary / "state.safetensors", plain)
        write_json(temporary / "state.json", values)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and values that `save_state` wrote."""
    try:
        values = checked(Mapping[str, Any], read_json(folder / "state.json"), "")
        checked(int, values.get("step"), "step")
        return _load(folder / "state.safetensors"), values
    except (OSError, SafetensorError, ConfigError) as error:
        reason = f"the training state cannot be read ({str(error)[:200]})"
        raise CheckpointError(f"{folder}: {reason}; remove this folder to continue from the one before") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as tensors under flat names."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load into an optimiser the tensors that `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def git_revision() -> str:
    """Return the commit of the running code, with `+` behind it when files differ; empty outside a checkout."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty=+",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def require_replaceable(folder: Path) -> None:
    """Raise CheckpointError where `folder` holds anything but a checkpoint.

    A new checkpoint replaces the whole folder.
    """
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in _FILES) if folder.is_dir() else []
    if others:
        raise CheckpointError(
            f"{folder}: holds other things ({others[0]}), which a checkpoint would replace; choose a new folder"
        )


def _hollow(config: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build a network whose numbers take no memory and are not drawn.

    Raises ConfigError for a large one of more than twice the size of its tensors.
    """
    found = sum(value.numel() for value in tensors.values())
    try:
        with torch.device("meta"):
            network: nn.Module = config.build()
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise ConfigError((str(error).splitlines() or [type(error).__name__])[0][:200]) from error
    wanted = sum(value.numel() for value in network.state_dict().values())
    if wanted > 2 * found + _SMALL_NETWORK:
        raise ConfigError(f"it describes {wanted} numbers, and model.safetensors holds {found}")
    return network


def _fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a hollow network its numbers, each laid out in memory as the network lays it out.

    Each tensor is taken out of `tensors` once it is copied: no more than one is in memory twice.
    """
    for key, own in network.state_dict().items():
        if key in tensors and tensors[key].shape == own.shape:
            # What is like a tensor without memory would import PyTorch's compiler: 40 MB and a second.
            tensors[key] = torch.empty_strided(own.shape, own.stride(), dtype=own.dtype).copy_(tensors[key])
    network.load_state_dict(tensors, assign=True)


def _tensors(path: Path) -> dict[str, Tensor]:
    file = path / "model.safetensors"
    try:
        return _load(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: missing or not a safetensors file ({str(error)[:200]})") from error


def _load(file: Path) -> dict[str, Tensor]:
    """Read all tensors; OSError for what is no regular file, of which a FIFO would never end."""
    if not file.is_file():
        raise OSError("it is not a regular file")
    return load_file(file)


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store kernels (four axes) as int8 beside their scale, other floats as fp16, and integers as they are."""
    packed = {}
    for key, value in tensors.items():
        if value.is_floating_point() and value.ndim == 4:
            scale = value.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12) / 127
            packed[key] = (value / scale).round().to(torch.int8)
            packed[key + _SCALE] = scale.float()
        else:
            packed[key] = value.half() if value.is_floating_point() else value
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all floats and kernels in single precision; tensors that were never packed are converted alike.

    Raises CheckpointError for an 8-bit kernel whose scale is missing or does not fit.
    """
    unpacked = {}
    for key, value in tensors.items():
        if key.endswith(_SCALE):
            continue
        if value.dtype != torch.int8:
            unpacked[key] = value.float() if value.is_floating_point() else value
            continue
        scale = tensors.get(key + _SCALE)
        if scale is None or scale.shape != (len(value), 1, 1, 1) or not scale.isfinite().all():
            raise CheckpointError(f"the 8-bit tensor {key} has no scale that fits it; get the file again")
        unpacked[key] = value * scale
    return unpacked
