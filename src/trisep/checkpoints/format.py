"""Checkpoints: a folder of safetensors and JSON, never pickle.

A model checkpoint is enough to separate; a training state is enough to continue a run. A folder is written under a
temporary name and moved into place, so a checkpoint that is visible is complete. This file knows no model names
and no training loop.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trisep.errors import CheckpointError, ConfigError
from trisep.media.files import replacing_folder, write_json
from trisep.models import model_module
from trisep.types import SignalSettings

FORMAT = 1
_PLAIN = (bool, int, float, str)
_LARGEST = 2**53
"""Numbers beyond this are none of a setting: JSON holds them exactly no more."""
_FILES = {"model.safetensors", "config.json"}
_SCALE = ".int8_scale"


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
        save_file(tensors, temporary / "model.safetensors")
        write_json(temporary / "config.json", config)


def load_model(path: Path) -> Checkpoint:
    """Read a model checkpoint folder; `CheckpointError` names what is missing or does not fit."""
    card = read_card(path)
    try:
        config = from_dict(model_module(str(card["model"])).Config, card["config"])
        signal = from_dict(SignalSettings, card["signal"])
        encoder, fingerprint = str(card["encoder"]), str(card["encoder_fingerprint"])
        model = config.build()
        model.load_state_dict(unpack(_tensors(path)))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, MemoryError, ConfigError) as error:
        file = path / "config.json"
        raise CheckpointError(
            f"{file}: not a config this version reads ({error}); was it made by another version?"
        ) from error
    except RuntimeError as error:
        file, reason = path / "model.safetensors", str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{file}: its tensors do not fit config.json: {reason}") from error
    model.eval().requires_grad_(False)
    return Checkpoint(
        model=model,
        model_name=card["model"],
        signal=signal,
        encoder=encoder,
        encoder_fingerprint=fingerprint,
        card=card,
        path=path,
    )


def read_card(path: Path) -> dict[str, Any]:
    """Read the `config.json` of a checkpoint folder."""
    file = path / "config.json"
    if not file.is_file():
        raise CheckpointError(f"{path}: not a checkpoint folder: it should hold config.json and model.safetensors")
    try:
        card = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"{file}: expected a trisep checkpoint of format {FORMAT}")
    return card


def _refuse_constant(name: str) -> None:
    """Raise ValueError for NaN and infinities, which JSON does not have and Python reads."""
    raise ValueError(f"{name} is no number")


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a training state: tensors as safetensors, plain values as JSON."""
    with replacing_folder(folder) as temporary:
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary / "state.safetensors"
        )
        write_json(temporary / "state.json", values)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and values that `save_state` wrote."""
    try:
        return load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError) as error:
        reason = f"the training state cannot be read ({error})"
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


def from_dict(kind: type, values: Any) -> Any:
    """Build a (nested) frozen dataclass from the result of `asdict` and JSON.

    Unknown or missing names, and values of another type than the field's, raise `TypeError`: a number is finite, a
    truth value is no number.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"expected the settings of {kind.__name__}, got {str(values)[:40]}")
    hints = get_type_hints(kind)
    unknown = set(values) - {entry.name for entry in fields(kind)}
    if unknown:
        raise TypeError(f"unknown setting {', '.join(sorted(unknown))}")
    return kind(**{name: _restore(hints[name], value, name) for name, value in values.items()})


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


def _restore(kind: Any, value: Any, name: str) -> Any:
    """Bring a value of JSON to the type of a field; TypeError where it is of another."""
    options = get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        return from_dict(kind, value)
    if get_origin(kind) in (Union, UnionType):
        if value is None and NoneType in options:
            return None
        (option,) = [option for option in options if option is not NoneType][:1]
        return _restore(option, value, name)
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        kinds = [options[0]] * len(value) if options[-1] is ... else options
        return tuple(_restore(one, item, name) for one, item in zip(kinds, value, strict=True))
    if kind in _PLAIN or get_origin(kind) in (tuple, Literal):
        fits = value in options if get_origin(kind) is Literal else _is_plain(kind, value)
        if not fits:
            raise TypeError(f"{name}: expected {getattr(kind, '__name__', kind)}, got {str(value)[:40]}")
    return value


def _is_plain(kind: Any, value: Any) -> bool:
    """Return whether a value of JSON is of a plain type: an integer is also a float, a truth value is no number."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
    return kind in _PLAIN and isinstance(value, kind)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / 'model.safetensors'}: missing or not a safetensors file ({error})") from error


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
        unpacked[key] = value.float() * scale
    return unpacked
