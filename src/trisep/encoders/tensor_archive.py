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
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "is no regular file" if file.exists() else "no such file"
        raise CheckpointError(f"{file}: {what}; give a file of weights")
    try:
        with file.open("rb") as opened:
            head = opened.read(9)
        if head[8:] == b"{":
            return load_file(file)
        if zipfile.is_zipfile(file):
            loaded = _read_archive(file)
        else:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file}: the file is damaged or cannot be read ({str(error)[:200]}); get a complete copy"
        ) from error
    except Exception as error:  # The restricted reader refuses with errors that share no base.
        said = str(error).strip()  # of some no more than a number
        reason = (said if any(map(str.isalpha, said)) else f"{type(error).__name__} {said}").splitlines()[0][:200]
        raise CheckpointError(
            f"{file}: is not an archive of tensors, or is damaged; nothing in it was run ({reason}); get the published "
            "file"
        ) from error
    state = loaded["state_dict"] if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict) else loaded
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{file}: expected a dictionary of tensors, got {type(state).__name__}")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    for name, value in tensors.items():
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{file}: the tensor {name[:60]} claims more than the file holds; get another copy")
    return tensors


def _read_archive(file: Path) -> Any:
    """Read a zip archive; a TorchScript archive, which carries code, is one with `constants.pkl`.

    Raises ValueError for records that are larger unpacked than packed: PyTorch stores what it reads as it is.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    is_script = any(entry.filename.endswith("/constants.pkl") for entry in entries)
    read = [entry for entry in entries if not is_script or _is_data(entry.filename)]
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in read):
        raise ValueError("its records are compressed, which PyTorch never does")
    if sum(entry.file_size for entry in read) > file.stat().st_size:
        raise ValueError("its records are larger than the file")
    return _read_script_archive(file) if is_script else torch.load(file, map_location="cpu", weights_only=True)


def _is_data(name: str) -> bool:
    """Return whether a record of an archive holds data, and no code."""
    record = name.partition("/")[2]
    return record in ("data.pkl", "version", "byteorder") or record.startswith("data/")


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
            if _is_data(entry.filename):
                target.writestr(f"archive/{entry.filename.partition('/')[2]}", source.read(entry))
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
