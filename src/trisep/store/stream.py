"""A clip store that lies elsewhere: its shards are read from their beginning to their end, through webdataset.

Any address that fsspec knows may hold it (s3, gs, http, …; extra `remote`). Of all clips those of one window are in
memory, and they are the ones that can be read; a window is so many clips in a row, from shards in a drawn order. What
a window holds is a pure function of the plan that `plan_windows` makes. This module knows nothing of training.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import fsspec
import numpy as np
from jaxtyping import Float32, Int64
from webdataset.tariterators import group_by_keys, tar_file_expander

from trisep.errors import StoreError
from trisep.media.image import decode_jpeg
from trisep.media.records import MAX_JSON_BYTES, checked, parse_json
from trisep.store.embeddings import EmbeddingInfo, read_rows
from trisep.store.index import WAV_HEADER_BYTES
from trisep.store.layout import MANIFEST, SHARDS, parse_manifest
from trisep.store.read import ClipStore
from trisep.store.write import FULL_SCALE, wav_header

_READ_AHEAD_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamedClip:
    """One clip of a window."""

    source: str
    num_samples: int
    rms_db: float
    wav_scale: float
    frame_times_seconds: tuple[float, ...]
    wav: bytes
    """The samples, 16 bit, without the header."""
    frames: tuple[bytes, ...]
    """One JPEG file per frame; empty where pictures are not asked for."""
    shard: int
    first_frame: int
    """Row of the clip's first frame among those of its shard."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a stream of shards."""

    place: int
    """Where the shard in which the window begins stands in the order of the shards."""
    position: int
    """Number of clips of that shard that come before the window."""
    num_clips: int


def plan_windows(num_clips: Sequence[int], order: Sequence[int], size: int) -> list[Window]:
    """Cut the shards in this order into windows of nearly equal length, none longer than `size` clips.

    `num_clips` has the number of clips of every shard of the store.
    """
    ends = [0, *accumulate(num_clips[shard] for shard in order)]
    count = -(-ends[-1] // size)
    windows = []
    for number in range(count):
        begin, end = number * ends[-1] // count, (number + 1) * ends[-1] // count
        place = bisect_right(ends, begin) - 1
        windows.append(Window(place, begin - ends[place], end - begin))
    return windows


class StreamedStore(ClipStore):
    """A finished clip store at an address, of which one window at a time can be read.

    Clips are numbered from 0 within the window. Embeddings of the frames come with the window; labels, boxes and
    captions do not. It can be pickled; each process connects by itself.
    """

    def __init__(self, address: str, *, encoder_name: str | None, tensor: str = "vectors", pictures: bool) -> None:
        """Read the manifest. A window brings the `tensor` of an encoder, unless it is None, and `pictures` if asked.

        Raises StoreError where the address cannot be read or holds no store.
        """
        self.address, self._encoder_name, self._tensor, self._pictures = address, encoder_name, tensor, pictures
        content = self._bytes(MANIFEST, "give the address of a clip store, and check your access to it")
        try:
            self.manifest = parse_manifest(parse_json(content), address)
        except ValueError as error:
            raise StoreError(f"{address}/{MANIFEST}: is no JSON ({error}); prepare the store again") from error
        self.path = address  # type: ignore[assignment]
        self._clips: tuple[StreamedClip, ...] = ()
        self._rows = np.zeros((0, 1), np.float32)
        self._frame_ends = [0]
        self._info: EmbeddingInfo | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the window, which belongs to one process."""
        return {**self.__dict__, "_clips": (), "_rows": self._rows[:0], "_frame_ends": [0]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self._clips)

    def show(self, clips: Sequence[StreamedClip]) -> None:
        """Make these clips the window, and read their frames' embeddings."""
        self._clips = tuple(clips)
        self._frame_ends = [0, *accumulate(len(clip.frame_times_seconds) for clip in clips)]
        if self._encoder_name is not None and clips:
            shards = list(dict.fromkeys(clip.shard for clip in clips))
            self._rows = np.concatenate([self._rows_of(shard) for shard in shards])

    def read(self, shards: Sequence[int], position: int = 0) -> Iterator[StreamedClip]:
        """Yield the clips of some shards as they are read, from a position in the first shard on."""
        for number, shard in enumerate(shards):
            yield from self._read_shard(shard, 0 if number else position)

    def num_samples(self, clip: int) -> int:
        """Return the length of a clip in samples."""
        return self._clips[clip].num_samples

    def rms_db(self, clip: int) -> np.float32:
        """Return the level of a clip in dBFS."""
        return np.float32(self._clips[clip].rms_db)

    def source(self, clip: int) -> str:
        """Return the path of the file that a clip was cut from."""
        return self._clips[clip].source

    def clips_without_pictures(self) -> Int64[np.ndarray, "_"]:
        """Return the numbers of the window's clips that have no frame."""
        return np.flatnonzero(np.diff(self._frame_ends) == 0)

    def frame_times(self, clip: int) -> tuple[float, ...]:
        """Return the time of each frame, in seconds from the clip's start, ascending."""
        return self._clips[clip].frame_times_seconds

    def frame_slice(self, clip: int) -> slice:
        """Return which of the window's rows of embeddings belong to a clip."""
        return slice(self._frame_ends[clip], self._frame_ends[clip + 1])

    def read_waveform(self, clip: int, start: int = 0, num_samples: int | None = None) -> Float32[np.ndarray, "S"]:
        """Read a stretch of a clip at its original level, as `ClipStore` does."""
        entry = self._clips[clip]
        length = entry.num_samples - start if num_samples is None else num_samples
        if start < 0 or length < 0 or start + length > entry.num_samples:
            raise IndexError(f"clip {clip} has {entry.num_samples} samples, got {start} to {start + length}")
        values = np.frombuffer(entry.wav, dtype="<i2", count=length, offset=2 * start)
        return values.astype(np.float32) * np.float32(1.0 / (FULL_SCALE * entry.wav_scale))

    def read_frames(self, clip: int) -> np.ndarray:
        """Read all frames of a clip, uint8 RGB [K, H, W, 3]."""
        return np.stack([decode_jpeg(frame) for frame in self._clips[clip].frames])

    def load_vectors(self, encoder_name: str) -> Any:
        """Return what gives the embeddings of the window's frames by their rows, whichever window is shown."""
        return _Rows(self)

    def load_regions(self, encoder_name: str) -> Any:
        """Return the same of the frames' regions."""
        return _Rows(self)

    def embedding_info(self, encoder_name: str) -> EmbeddingInfo:
        """Return where the embeddings come from."""
        if self._info is None:
            self._rows_at(0, range(0))
        assert self._info is not None
        return self._info

    def rows(self) -> np.ndarray:
        """Return the embeddings of all frames of the window."""
        return self._rows

    def _rows_of(self, shard: int) -> np.ndarray:
        """Read the embeddings of the window's frames that lie in a shard: one stretch."""
        clips = [clip for clip in self._clips if clip.shard == shard]
        return self._rows_at(
            shard, range(clips[0].first_frame, clips[-1].first_frame + len(clips[-1].frame_times_seconds))
        )

    def _rows_at(self, shard: int, rows: range) -> np.ndarray:
        info = self.manifest.shards[shard]
        name = f"{SHARDS}/{info.name}.{self._encoder_name}.safetensors"
        remedy = f"embed the store with `trisep embed STORE --encoder {self._encoder_name}` and copy what it wrote"
        try:
            with self._open(name, remedy) as file:
                found, values = read_rows(file, int(file.size), self._tensor, rows)
        except StoreError:
            raise
        # Every file system has exceptions of its own.
        except Exception as error:
            raise self._failure(name, error, remedy) from error
        first = self._info or found
        if found.shard_sha256 != info.sha256 or found.fingerprint != first.fingerprint:
            raise StoreError(f"{self.address}/{name}: made from another shard or by another version; {remedy}")
        self._info = first
        return values

    def _read_shard(self, shard: int, position: int) -> Iterator[StreamedClip]:
        """Yield the clips of a shard from a position on."""
        info = self.manifest.shards[shard]
        name, number, first_frame = f"{SHARDS}/{info.name}.tar", 0, 0
        with self._open(name, "copy the whole store there") as file:
            files = tar_file_expander([{"url": name, "stream": file}])
            try:
                for number, sample in enumerate(group_by_keys(files), start=1):
                    clip = self._to_clip(sample, shard, first_frame)
                    first_frame += len(clip.frame_times_seconds)
                    if number > position:
                        yield clip
            # Every file system has exceptions of its own.
            except Exception as error:
                raise self._failure(name, error, "run the same command again to go on") from error
        if number != info.num_clips:
            raise StoreError(f"{self.address}/{name}: {number} clips where the manifest counts {info.num_clips}")

    def _to_clip(self, sample: Mapping[str, Any], shard: int, first_frame: int) -> StreamedClip:
        """Check one sample of webdataset; ValueError or ConfigError where it is no clip."""
        values = checked(Mapping[str, Any], parse_json(sample["json"]), "description")
        described = {name: values.get(name) for name in _DESCRIBED}
        kinds = {"source": str, "num_samples": int, "frame_times_seconds": tuple[float, ...]}
        described = {name: checked(kinds.get(name, float), value, name) for name, value in described.items()}
        frames = tuple(sample[name] for name in sorted(sample) if name.endswith(".jpg"))
        wav, num_samples = sample["wav"], described["num_samples"]
        if wav[:WAV_HEADER_BYTES] != wav_header(num_samples, sample_rate_hz=self.sample_rate_hz):
            raise ValueError(f"clip {sample['__key__'][:40]}: another wav header than its description says")
        if len(wav) != WAV_HEADER_BYTES + 2 * num_samples or not 0 < described["wav_scale"] <= 1:
            raise ValueError(f"clip {sample['__key__'][:40]}: its sound is not what its description says")
        if len(frames) != len(described["frame_times_seconds"]):
            raise ValueError(f"clip {sample['__key__'][:40]}: {len(frames)} pictures")
        kept = frames if self._pictures else ()
        return StreamedClip(**described, wav=wav[WAV_HEADER_BYTES:], frames=kept, shard=shard, first_frame=first_frame)

    def _open(self, name: str, remedy: str) -> Any:
        """Open a file for reading; whatever fails is a StoreError with the remedy."""
        try:
            system, root = fsspec.core.url_to_fs(self.address)
            return system.open(f"{root.rstrip('/')}/{name}", "rb", block_size=_READ_AHEAD_BYTES)
        except ImportError as error:
            raise StoreError(f"{self.address}: {error}; pip install 'trisep[remote]' brings s3 and http") from error
        # Every file system has exceptions of its own.
        except Exception as error:
            raise self._failure(name, error, remedy) from error

    def _bytes(self, name: str, remedy: str) -> bytes:
        with self._open(name, remedy) as file:
            try:
                content: bytes = file.read(MAX_JSON_BYTES + 1)
                return content
            except Exception as error:
                raise self._failure(name, error, remedy) from error

    def _failure(self, name: str, error: Exception, remedy: str) -> StoreError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return StoreError(f"{self.address}/{name}: cannot be read ({reason}); {remedy}")


class _Rows:
    """The embeddings of the window that a store shows when it is asked."""

    def __init__(self, store: StreamedStore) -> None:
        self._store = store

    def __getitem__(self, where: Any) -> Any:
        return self._store.rows()[where]


_DESCRIBED = ("source", "num_samples", "rms_db", "wav_scale", "frame_times_seconds")
