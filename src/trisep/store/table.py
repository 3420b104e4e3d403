"""The index as a table in Arrow's file format, mapped into memory: one record batch per shard, one row per clip.

It is made from `index.jsonl`, holds the same values, and is what a store of millions of clips is opened with: nothing
is read before it is asked for, and what is asked for comes a shard at a time. A store without it, or whose index was
changed since, is read from the lines, into the same table in memory. This module opens no shard.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from jaxtyping import Int64

from trisep.errors import ConfigError, StoreError
from trisep.media.files import replacing
from trisep.media.records import from_json
from trisep.store.index import ClipEntry, read_index, require_inside
from trisep.store.layout import INDEX, TABLE, Manifest, ShardInfo

_PLACE = pa.list_(pa.int64(), 2)
_SCHEMA = pa.schema(
    {
        "key": pa.binary(),
        "source": pa.binary(),
        "start_seconds": pa.float64(),
        "num_samples": pa.int64(),
        "rms_db": pa.float64(),
        "peak": pa.float64(),
        "wav_scale": pa.float64(),
        "frame_times_seconds": pa.list_(pa.float64()),
        "shard": pa.int64(),
        "wav": _PLACE,
        "frames": pa.list_(_PLACE),
        "description": _PLACE,
    }
)
"""The fields of `ClipEntry`. Texts are bytes, since names of files need not be UTF-8, which Arrow's strings are."""
_TEXTS = ("key", "source")
_DAMAGE = (OSError, ValueError, MemoryError, pa.ArrowException)
"""What Arrow raises for a file that is not what it claims to be."""
_KEPT_SHARDS = 64
_KEPT_ENTRIES = 4096


class ClipIndex:
    """All entries of a store, in its order; each is made when it is asked for.

    It has `len`, is indexed by a clip's number, and iterates shard by shard. It may be used from several threads,
    survives a fork, and can be pickled. Whatever reads from it raises StoreError where the table is damaged.
    """

    def __init__(self, path: Path, shards: Sequence[ShardInfo], table: bytes | None = None) -> None:
        """Open the table that `path` names or, where it is given, `table`, which was made from that file of lines."""
        self._path, self._shards, self._table = path, tuple(shards), table
        self._clip_ends = [0, *accumulate(shard.num_clips for shard in shards)]
        self._frame_ends = [0, *accumulate(shard.num_frames for shard in shards)]
        self._open()

    def _open(self) -> None:
        """Read where the batches lie."""
        self._lock = Lock()
        self._batch = lru_cache(maxsize=_KEPT_SHARDS)(self._read_whole_batch)
        self._entry = lru_cache(maxsize=_KEPT_ENTRIES)(self._read_entry)
        try:
            source = pa.memory_map(str(self._path)) if self._table is None else pa.BufferReader(self._table)
            self._reader = pa.ipc.open_file(source)
            if not self._reader.schema.equals(_SCHEMA):
                raise ValueError("it has other columns")
            if self._reader.num_record_batches != len(self._shards):
                raise ValueError(f"{self._reader.num_record_batches} shards where the manifest has {len(self._shards)}")
        except _DAMAGE as error:
            raise self._damage(error) from error

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but what is open, which belongs to one process."""
        opened = ("_lock", "_batch", "_entry", "_reader")
        return {name: value for name, value in self.__dict__.items() if name not in opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return self._clip_ends[-1]

    def __getitem__(self, clip: int) -> ClipEntry:
        """Return the entry of a clip; IndexError beyond the last."""
        return self._entry(int(clip))

    def __iter__(self) -> Iterator[ClipEntry]:
        for number in range(len(self._shards)):
            yield from self.of_shard(number)

    def clips_of(self, shard: int) -> range:
        """Return the numbers of a shard's clips."""
        return range(self._clip_ends[shard], self._clip_ends[shard + 1])

    def frames_of(self, shard: int) -> range:
        """Return the rows of a shard's frames among those of the store."""
        return range(self._frame_ends[shard], self._frame_ends[shard + 1])

    def of_shard(self, shard: int) -> tuple[ClipEntry, ...]:
        """Return the entries of a shard."""
        return tuple(self._entry_of(shard, row, values) for row, values in enumerate(self._batch(shard).to_pylist()))

    def frame_slice(self, clip: int) -> slice:
        """Return which rows of the store's frames belong to a clip."""
        shard, row = self._find(clip)
        ends = self._batch(shard)["frames"].offsets
        first, end = (self._frame_ends[shard] + ends[place].as_py() - ends[0].as_py() for place in (row, row + 1))
        return slice(first, end)

    def num_samples(self) -> Int64[np.ndarray, "clips"]:
        """Return the length of every clip in samples, 8 bytes a clip; the other columns are not read."""
        return self._column(lambda batch: batch["num_samples"].to_numpy(zero_copy_only=False))

    def num_frames(self) -> Int64[np.ndarray, "clips"]:
        """Return the number of frames of every clip, 8 bytes a clip; the other columns are not read."""
        return self._column(lambda batch: np.diff(batch["frames"].offsets.to_numpy()))

    def _column(self, read: Callable[[pa.RecordBatch], np.ndarray]) -> Int64[np.ndarray, "clips"]:
        """Return one number for each clip."""
        values = np.empty(len(self), np.int64)
        for shard, places in ((number, self.clips_of(number)) for number in range(len(self._shards))):
            values[places.start : places.stop] = read(self._read_batch(shard))
        if len(values) and values.min() < 0:
            raise self._damage(ValueError("it has numbers below 0"))
        return values

    def _find(self, clip: int) -> tuple[int, int]:
        """Return the shard of a clip, and its row there."""
        clip = int(clip) + (len(self) if clip < 0 else 0)
        if not 0 <= clip < len(self):
            raise IndexError(f"the store holds {len(self)} clips, got {clip}")
        shard = bisect_right(self._clip_ends, clip) - 1
        return shard, clip - self._clip_ends[shard]

    def _read_batch(self, shard: int) -> pa.RecordBatch:
        """Map the batch of a shard; its buffers are as long as its rows need, and what they say is not looked at."""
        try:
            with self._lock:
                batch = self._reader.get_batch(shard)
            batch.validate()
            if batch.num_rows != self._shards[shard].num_clips:
                raise ValueError(f"{batch.num_rows} clips in a shard of {self._shards[shard].num_clips}")
            return batch
        except _DAMAGE as error:
            raise self._damage(error) from error

    def _read_whole_batch(self, shard: int) -> pa.RecordBatch:
        """Map the batch of a shard and look at every place and text in it, so that none leads out of the file."""
        batch = self._read_batch(shard)
        try:
            batch.validate(full=True)
            ends = batch["frames"].offsets
            if ends[-1].as_py() - ends[0].as_py() != self._shards[shard].num_frames:
                raise ValueError(f"other than {self._shards[shard].num_frames} frames in a shard")
        except _DAMAGE as error:
            raise self._damage(error) from error
        return batch

    def _read_entry(self, clip: int) -> ClipEntry:
        shard, row = self._find(clip)
        return self._entry_of(shard, row, self._batch(shard).slice(row, 1).to_pylist()[0])

    def _entry_of(self, shard: int, row: int, values: Mapping[str, Any]) -> ClipEntry:
        """Return an entry, which fits its fields and lies within its shard."""
        try:
            if any(values[name] is None for name in _TEXTS):
                raise ValueError("a clip has no name")
            texts = {name: values[name].decode("utf-8", "surrogatepass") for name in _TEXTS}
            entry = from_json(ClipEntry, {**values, **texts}, f"clip {self._clip_ends[shard] + row}")
            require_inside(entry, shard, self._shards[shard])
        except (ValueError, ConfigError) as error:
            raise self._damage(error) from error
        return entry

    def _damage(self, error: Exception) -> StoreError:
        """Build the error to raise where the table cannot be read."""
        reason = " ".join(str(error).split())[:200]
        return StoreError(
            f"{self._path}: cannot be read as the index of a clip store ({reason}); delete it, then {INDEX} is read "
            "in its place"
        )


def open_index(store: Path, manifest: Manifest) -> ClipIndex:
    """Open the index of a store: the table where there is one of this index, otherwise the lines.

    Raises StoreError for a damaged one.
    """
    if is_current(store, manifest):
        return ClipIndex(store / TABLE, manifest.shards)
    sink = pa.BufferOutputStream()
    _write(sink, store, manifest)
    return ClipIndex(store / INDEX, manifest.shards, sink.getvalue().to_pybytes())


def is_current(store: Path, manifest: Manifest) -> bool:
    """Return whether a store has the table of its index as it is now, by the manifest's hash and the index's size."""
    if not (store / TABLE).is_file():
        return False
    try:
        with pa.memory_map(str(store / TABLE)) as file, pa.ipc.open_file(file) as reader:
            found = reader.schema.metadata
    except _DAMAGE as error:
        raise StoreError(
            f"{store / TABLE}: cannot be read as the index of a clip store ({' '.join(str(error).split())[:200]}); "
            f"delete it, then {INDEX} is read in its place"
        ) from error
    return bool(found == _identity(store, manifest))


def make_table(store: Path, manifest: Manifest) -> None:
    """Write the table of a store's index, unless it is there; MediaError when the store cannot be written."""
    if is_current(store, manifest):
        return
    with replacing(store / TABLE) as temporary, pa.OSFile(str(temporary), "wb") as file:
        _write(file, store, manifest)


def _write(sink: pa.NativeFile, store: Path, manifest: Manifest) -> None:
    """Write the lines as a table, with one shard of them in memory."""
    schema = _SCHEMA.with_metadata(_identity(store, manifest))
    with pa.ipc.new_file(sink, schema) as writer:
        for entries in read_index(store / INDEX, manifest.shards):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(entry) for entry in entries], schema=schema))


def _row(entry: ClipEntry) -> dict[str, Any]:
    """Return the values of one row."""
    values = asdict(entry)
    return values | {name: values[name].encode("utf-8", "surrogatepass") for name in _TEXTS}


def _identity(store: Path, manifest: Manifest) -> dict[bytes, bytes]:
    """Return what distinguishes the index of a store from others."""
    size = (store / INDEX).stat().st_size if (store / INDEX).is_file() else -1
    return {b"index_sha256": manifest.index_sha256.encode("utf-8", "backslashreplace"), b"index_bytes": b"%d" % size}
