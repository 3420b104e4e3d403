"""Embeddings beside a shard: safetensors files that can be mapped into memory. This module runs no encoder.

A file for the frames holds `vectors` float32 [frames, D] and, unless regions were left out, `regions` float16 [frames,
7, 7, D]; both are raw and in index order. A file for the clips holds the latent `captions` float32 [clips, D] of unit
length, the `tokens` float32 [clips, m, E] that the text encoder read, and the `cosines` float32 [clips] to the middle
frame; all are zero for a clip without frames. A file for the boxes that a detector found in the frames holds `vectors`
float32 [boxes, D], `places` float32 [boxes, 4] (left, top, width and height as shares of the picture), `labels` int32
[boxes] (numbers of names in the settings) and `frames` int32 [boxes] (rows of the shard), by frame, the surest box of a
frame first. The header holds one JSON text, `trisep`, since safetensors does not keep
the order of several.
"""

import hashlib
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trisep.errors import ConfigError, StoreError
from trisep.media.files import replacing
from trisep.media.records import MAX_JSON_BYTES, from_json, parse_json
from trisep.media.tensor_files import write_tensors

_TENSORS = {
    "vectors": ("F32", 2),
    "regions": ("F16", 4),
    "captions": ("F32", 2),
    "tokens": ("F32", 3),
    "cosines": ("F32", 1),
    "places": ("F32", 2),
    "labels": ("I32", 1),
    "frames": ("I32", 1),
}
"""Names of the tensors, with their type and number of axes."""
_FILES = (
    {"vectors"},
    {"vectors", "regions"},
    {"captions", "tokens", "cosines"},
    {"vectors", "places", "labels", "frames"},
)
"""What one file holds: of frames, of clips, or of boxes."""
_KEPT_PARTS = 4096
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I32": np.dtype("<i4")}


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingInfo:
    """Where the embeddings of a shard come from."""

    encoder: str
    dim: int
    fingerprint: str
    """Identity of the encoder's weights and vocabulary; an encoder that gives other vectors has another fingerprint."""
    shard_sha256: str
    """SHA-256 of the shard whose frames were embedded."""
    tensors_sha256: str
    """SHA-256 over the bytes of the tensors, in the order in which the first lines of this module name them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How latent captions were searched for, or boxes found, as plain JSON values; empty for frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _TensorPlace:
    """Where a tensor lies behind the header."""

    dtype: Literal["F32", "F16", "I32"]
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    def __post_init__(self) -> None:
        """Raise ConfigError where the bytes are not those of the shape."""
        first, end = self.data_offsets
        if min(0, first, *self.shape) < 0 or end - first != math.prod(self.shape) * _DTYPES[self.dtype].itemsize:
            raise ConfigError(f"{end - first} bytes for a tensor {list(self.shape)[:8]} of {self.dtype}")


def write_embeddings(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    encoder: str,
    fingerprint: str,
    shard_sha256: str,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the tensors of frames or of captions; the file appears when it is complete.

    Raises MediaError when it cannot be written.
    """
    info = EmbeddingInfo(
        encoder=encoder,
        dim=int(tensors["captions" if "captions" in tensors else "vectors"].shape[1]),
        fingerprint=fingerprint,
        shard_sha256=shard_sha256,
        tensors_sha256=hash_tensors(tensors),
        settings=dict(settings or {}),
    )
    with replacing(path) as temporary:
        write_tensors(temporary, tensors, {"trisep": json.dumps(asdict(info), sort_keys=True)})


def hash_tensors(tensors: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 over the bytes of the tensors, in the order in which this module's first lines name them."""
    digest = hashlib.sha256()
    for name in _TENSORS:
        if name in tensors:
            digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def read_embedding_header(path: Path) -> tuple[EmbeddingInfo, dict[str, tuple[int, ...]]]:
    """Return where the embeddings come from, and the shape of each tensor; StoreError when the file is damaged."""
    info, tensors, _ = _read_header(path)
    return info, {name: tensor.shape for name, tensor in tensors.items()}


def map_embeddings(path: Path) -> dict[str, np.ndarray]:
    """Map the tensors into memory: only what is used is read. StoreError when the file is damaged."""
    _, tensors, start = _read_header(path)
    mapped: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        shape, dtype = tensor.shape, _DTYPES[tensor.dtype]
        # An empty file region cannot be mapped.
        mapped[name] = (
            np.memmap(path, dtype, "r", start + tensor.data_offsets[0], shape)
            if 0 not in shape
            else np.zeros(shape, dtype)
        )
    return mapped


def read_rows(file: Any, size: int, name: str, rows: range) -> tuple[EmbeddingInfo, np.ndarray]:
    """Read some rows of one tensor of an open file of `size` bytes, and where they come from; nothing else is read.

    Raises StoreError when the file is damaged, lacks the tensor or those rows.
    """
    info, tensors, start = _parse_header(file, size, "embeddings")
    if name not in tensors or rows.stop > tensors[name].shape[0]:
        raise StoreError(f"the embeddings hold no {name}, or not {rows.stop} rows of them; run `trisep embed` again")
    shape, dtype = (len(rows), *tensors[name].shape[1:]), _DTYPES[tensors[name].dtype]
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    file.seek(start + tensors[name].data_offsets[0] + rows.start * row_bytes)
    return info, np.frombuffer(file.read(len(rows) * row_bytes), dtype).reshape(shape)


def _read_header(path: Path) -> tuple[EmbeddingInfo, dict[str, _TensorPlace], int]:
    """Parse the safetensors header: return the info, the tensors' descriptions, and where the data begin."""
    try:
        if not path.is_file():
            raise OSError("it is not a regular file")
        with path.open("rb") as file:
            return _parse_header(file, path.stat().st_size, str(path))
    except OSError as error:
        raise _damage(str(path), error) from error


def _damage(where: str, error: Exception) -> StoreError:
    return StoreError(f"{where}: damaged embeddings ({error}); delete the file and run `trisep embed` again")


def _parse_header(file: Any, size: int, where: str) -> tuple[EmbeddingInfo, dict[str, _TensorPlace], int]:
    """Parse the header of an open file of `size` bytes."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        header = parse_json(file.read(min(length, MAX_JSON_BYTES)))
        info = from_json(EmbeddingInfo, parse_json(header.pop("__metadata__")["trisep"]))
        tensors = {str(name): from_json(_TensorPlace, place, name) for name, place in header.items()}
        if tensors.keys() not in _FILES:
            raise ValueError(f"it holds {', '.join(sorted(tensors))[:80] or 'nothing'}")
        for name, tensor in tensors.items():
            if (tensor.dtype, len(tensor.shape)) != _TENSORS[name]:
                raise ValueError(f"{name} is {tensor.dtype} of {len(tensor.shape)} axes")
        end = 8 + length + max(tensor.data_offsets[1] for tensor in tensors.values())
        if size != end:
            raise ValueError(f"{size} bytes where {end} were expected")
        return info, tensors, 8 + length
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, ConfigError) as error:
        raise _damage(where, error) from error


class JoinedArray:
    """Several mapped arrays that behave like one, joined along the first axis; each is opened when it is first read.

    It has `len`, `shape` and `dtype`, and is indexed by a number, a slice or a list of numbers. It can be pickled where
    the function that opens the parts can.
    """

    def __init__(self, num_rows: Sequence[int], open_part: Callable[[int], np.ndarray]) -> None:
        """Join parts of so many rows, which agree in all axes but the first; `open_part` gives one by its number."""
        self._open_part = open_part
        self._ends = np.cumsum(num_rows)
        first = open_part(0)
        self.dtype = first.dtype
        self.shape: tuple[int, ...] = (int(self._ends[-1]), *first.shape[1:])
        self._cache()

    def _cache(self) -> None:
        # A process may have 65 530 maps.
        self._part = lru_cache(maxsize=_KEPT_PARTS)(self._open_part)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the open parts, which belong to one process."""
        return {name: value for name, value in self.__dict__.items() if name != "_part"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: int | slice | Sequence[int] | np.ndarray) -> Any:
        """Return a copy of the rows at `where`, as an array; a number of NumPy's for one row of one axis."""
        if isinstance(where, slice):
            return self._gather(np.arange(*where.indices(len(self))))
        numbers = np.atleast_1d(np.asarray(where, dtype=np.int64))
        if numbers.size and (numbers.min() < -len(self) or numbers.max() >= len(self)):
            raise IndexError(f"index out of range for {len(self)} rows")
        rows = self._gather(numbers % max(len(self), 1))
        return rows if np.ndim(where) else rows[0]

    def _gather(self, numbers: np.ndarray) -> np.ndarray:
        """Copy rows, part by part."""
        rows = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        owners = np.searchsorted(self._ends, numbers, side="right")
        for owner in np.unique(owners):
            mine = owners == owner
            part = self._part(int(owner))
            rows[mine] = part[numbers[mine] - (self._ends[owner] - len(part))]
        return rows
