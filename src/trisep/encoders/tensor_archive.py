"""Tensors from weight files of any common format, read as data: nothing in a file is ever run.

    TorchScript archive (OpenAI's .pt)   only the records `data.pkl` and `data/*`, read by PyTorch's restricted reader
    torch.save state dict (.pt, .bin)    the same reader (`weights_only=True`); a checkpoint gives its `state_dict`
    safetensors                          all tensors as they are

This file does not know what the tensors mean.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trisep.errors import CheckpointError

_LIST_MAKERS = frozenset(
    f"torch.jit._pickle.{name}"
    for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read all tensors of a file by name, on the CPU, whatever its format; other values are left out.

    Raises CheckpointError when the file cannot be read, is damaged, or is a pickle of anything but
    tensors and plain containers.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(9)
        if head[8:] == b"{":
            return load_file(file)
        loaded = (
            _read_script_archive(file)
            if _is_script_archive(file)
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file}: the file is damaged or cannot be read ({error}); get a complete copy"
        ) from error
    except Exception as error:  # The restricted reader refuses with errors that share no base.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(
            f"{file}: is not an archive of tensors, or is damaged; nothing in it was run ({reason}); get the published "
            "file"
        ) from error
    state = loaded["state_dict"] if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict) else loaded
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{file}: expected a dictionary of tensors, got {type(state).__name__}")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def _is_script_archive(file: Path) -> bool:
    """Return whether a file is a TorchScript archive, which carries code.

    A zip file without `constants.pkl` is an archive of torch.save.
    """
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


class _ScriptObject:
    """Stands for an object of a TorchScript archive: it holds the attributes and none of the code."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


def _keep_value(value: Any, *_: Any) -> Any:
    """Return the value: it replaces TorchScript's constructors of typed lists and dictionaries."""
    return value


def _read_script_archive(file: Path) -> dict[str, Tensor]:
    """Read the parameters and buffers of a TorchScript archive by dotted name.

    `torch.jit.load` would compile and could run the archive's code, and `torch.load(weights_only=True)` refuses such
    archives. So the records that hold data are copied into an archive of their own, without the code, and the
    restricted reader reads that archive. It may make tensors, plain containers and `_ScriptObject`s, whatever names the
    archive gives its classes.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            record = entry.filename.partition("/")[2]
            if record in ("data.pkl", "version", "byteorder") or record.startswith("data/"):
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"record {record} is compressed, which PyTorch never does")
                target.writestr(f"archive/{record}", source.read(entry))
    copy.seek(0)
    names = torch.serialization.get_unsafe_globals_in_checkpoint(copy)
    refused = [name for name in names if not name.startswith("__torch__.") and name not in _LIST_MAKERS]
    if refused:
        raise ValueError(f"it refers to {refused[0]}")
    stand_ins: list[Any] = [(_keep_value if name in _LIST_MAKERS else _ScriptObject, name) for name in names]
    copy.seek(0)
    with torch.serialization.safe_globals(stand_ins):
        root = torch.load(copy, map_location="cpu", weights_only=True)
    return dict(_script_tensors(root, ""))


def _script_tensors(value: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors among an object's attributes, and among those of its parts, with their dotted names."""
    if isinstance(value, Tensor):
        yield prefix, value.detach()
    elif isinstance(value, _ScriptObject):
        for name, part in value.attributes.items():
            yield from _script_tensors(part, f"{prefix}.{name}" if prefix else str(name))
