"""`ClipStore`: random access to the sounds, frames and embeddings of a finished store.

It writes nothing and knows no labels.
"""

import mmap
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from trisep.errors import StoreError
from trisep.media.image import decode_jpeg
from trisep.store.embeddings import EmbeddingInfo, JoinedArray, map_embeddings, read_embedding_header
from trisep.store.index import WAV_HEADER_BYTES
from trisep.store.layout import box_path, caption_path, embedding_path, read_manifest, shard_path
from trisep.store.table import ClipIndex, open_index
from trisep.store.write import FULL_SCALE
from trisep.types import Clip

_KEPT_MAPS = 4096


class ClipStore:
    """A finished clip store, open for reading.

    It may be used from many threads, survives a fork, and can be pickled (for the workers of a data loader): each
    process maps a shard into memory when it first reads it. Clips are numbered from 0 in the sorted order of their
    sources.

        store = ClipStore(Path("my_store"))
        waveform = store.read_waveform(7, start=16000, num_samples=65535)
        vectors = store.load_vectors("lite")[store.frame_slice(7)]
    """

    def __init__(self, path: Path) -> None:
        """Read the manifest, open the index, and compare the sizes of the shards with the manifest.

        Memory does not grow with the number of clips: entries and embeddings are read when they are asked for.

        Raises StoreError for a folder that is no store or an unfinished one, and for a shard that is missing or has a
        wrong size.
        """
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        self.entries: ClipIndex = open_index(self.path, self.manifest)
        for shard in self.manifest.shards:
            tar = shard_path(self.path, shard.name)
            size = tar.stat().st_size if tar.is_file() else None
            if size != shard.size_bytes:
                was = (
                    "is missing;" if size is None else f"has {size} bytes instead of {shard.size_bytes}; delete it and"
                )
                raise StoreError(f"{tar}: {was} run the same `trisep prepare` command again to make it again")
        self._cache()

    def _cache(self) -> None:
        # Two threads may map the same shard at once; both maps are valid. A process may have 65 530 of them.
        self._map = lru_cache(maxsize=_KEPT_MAPS)(self._map_shard)

    def __len__(self) -> int:
        return len(self.entries)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the open maps, which belong to one process."""
        return {name: value for name, value in self.__dict__.items() if name != "_map"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache()

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of every sound in the store."""
        return int(self.manifest.settings["sample_rate_hz"])

    def num_samples(self, clip: int) -> int:
        """Return the length of a clip in samples."""
        return self.entries[clip].num_samples

    def rms_db(self, clip: int) -> np.float32:
        """Return the level of a clip in dBFS."""
        return np.float32(self.entries[clip].rms_db)

    def source(self, clip: int) -> str:
        """Return the path of the file that a clip was cut from, relative to the folder that was prepared.

        Labels, which are kept outside the store, are joined by this path.
        """
        return self.entries[clip].source

    def clips_without_pictures(self) -> Int64[np.ndarray, "_"]:
        """Return the numbers of the clips that have no frame."""
        return np.flatnonzero(self.entries.num_frames() == 0)

    def frame_times(self, clip: int) -> tuple[float, ...]:
        """Return the time of each frame, in seconds from the clip's start, ascending."""
        return self.entries[clip].frame_times_seconds

    def frame_slice(self, clip: int) -> slice:
        """Return which rows of `load_vectors` and `load_regions` belong to a clip, one per frame."""
        return self.entries.frame_slice(clip)

    def read_waveform(self, clip: int, start: int = 0, num_samples: int | None = None) -> Float32[np.ndarray, "S"]:
        """Read samples `start` to `start + num_samples` of a clip at its original level, full scale ±1.

        It reads to the end when `num_samples` is None. Raises IndexError when the stretch is not within the clip.
        """
        entry = self.entries[clip]
        length = entry.num_samples - start if num_samples is None else num_samples
        if start < 0 or length < 0 or start + length > entry.num_samples:
            raise IndexError(f"clip {clip} has {entry.num_samples} samples, got {start} to {start + length}")
        offset = entry.wav[0] + WAV_HEADER_BYTES + 2 * start
        values = np.frombuffer(self._map(entry.shard), dtype="<i2", count=length, offset=offset)
        return values.astype(np.float32) * np.float32(1.0 / (FULL_SCALE * entry.wav_scale))

    def read_frames(self, clip: int) -> np.ndarray:
        """Read all frames of a clip, uint8 RGB [K, H, W, 3]; K is 0 for a sound without a picture."""
        entry = self.entries[clip]
        shard = self._map(entry.shard)
        frames = [decode_jpeg(shard[offset : offset + size]) for offset, size in entry.frames]
        if any(frame.shape != frames[0].shape for frame in frames):
            raise StoreError(
                f"{self.path}: the frames of clip {entry.key[:60]} differ in size; prepare the store again"
            )
        return np.stack(frames) if frames else np.zeros((0, 0, 0, 3), np.uint8)

    def read_clip(self, clip: int) -> Clip:
        """Read a whole clip: its sound and its frames."""
        entry = self.entries[clip]
        return Clip(
            entry.key, self.read_waveform(clip), self.sample_rate_hz, self.read_frames(clip), entry.frame_times_seconds
        )

    def load_vectors(self, encoder_name: str) -> JoinedArray:
        """Map the raw embeddings of all frames, float32 [frames, D], into memory.

        Raises StoreError when they are missing, damaged or of mixed origin.
        """
        return self._join(self._embedding_paths(encoder_name), "vectors")

    def load_regions(self, encoder_name: str) -> JoinedArray:
        """Map the raw embeddings of all frames' regions, float16 [frames, 7, 7, D], into memory.

        Raises StoreError as `load_vectors` does.
        """
        paths = self._embedding_paths(encoder_name)
        if not all("regions" in read_embedding_header(path)[1] for path in paths):
            command = f"trisep embed {self.path} --encoder {encoder_name}"
            raise StoreError(f"{self.path}: holds no embeddings of regions by '{encoder_name}'; run `{command}`")
        return self._join(paths, "regions")

    def load_captions(self, encoder_name: str) -> JoinedArray:
        """Map the latent caption of every clip, float32 [clips, D], of unit length (zero for a clip without frames).

        Raises StoreError as `load_caption_search` does.
        """
        return self.load_caption_search(encoder_name)["captions"]

    def load_caption_search(self, encoder_name: str) -> dict[str, JoinedArray]:
        """Map all that the search for latent captions stored, float32.

        These are `captions` [clips, D], `tokens` [clips, m, E] and `cosines` [clips].

        Raises StoreError when the store has none by this encoder, or when they are damaged, of mixed settings, of other
        shards, or by another version of the encoder than the frames' embeddings.
        """
        paths = self.paths_beside(encoder_name, caption_path, what="latent captions", option="--captions")
        return {name: self._join(paths, name) for name in ("captions", "tokens", "cosines")}

    def _join(self, paths: Sequence[Path], name: str) -> JoinedArray:
        """Join one tensor of the files beside all shards; a file is mapped when it is first read."""
        rows = [read_embedding_header(path)[1][name][0] for path in paths]
        return JoinedArray(rows, partial(_mapped, tuple(paths), name))

    def embedding_info(self, encoder_name: str) -> EmbeddingInfo:
        """Return where the embeddings come from; StoreError as `load_vectors`."""
        return read_embedding_header(self._embedding_paths(encoder_name)[0])[0]

    def _embedding_paths(self, encoder_name: str) -> list[Path]:
        """Return the embedding file of each shard; check that all exist, are by one encoder and from these shards."""
        paths = [embedding_path(self.path, shard.name, encoder_name) for shard in self.manifest.shards]
        command = f"trisep embed {self.path} --encoder {encoder_name}"
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise StoreError(
                f"{self.path}: no embeddings by '{encoder_name}' for {len(missing)} of {len(paths)} shards; run "
                f"`{command}`"
            )
        headers = [read_embedding_header(path) for path in paths]
        for path, shard, (info, shapes) in zip(paths, self.manifest.shards, headers, strict=True):
            same = info.fingerprint == headers[0][0].fingerprint and info.shard_sha256 == shard.sha256
            expected = (shard.num_frames, headers[0][0].dim)
            fits = all((shape[0], shape[-1]) == expected for shape in shapes.values())
            if not same or not fits or "vectors" not in shapes:
                raise StoreError(
                    f"{path}: made from another shard or by another version of '{encoder_name}'; run `{command} "
                    "--overwrite`"
                )
        return paths

    def paths_beside(
        self, encoder_name: str, path_of: Callable[[Path, str, str], Path], *, what: str, option: str
    ) -> list[Path]:
        """Return the file of each shard that holds captions or boxes; `path_of` is a function of `layout`.

        It checks that all exist, were made with the same settings, and belong to these shards and embeddings. Raises
        StoreError with `what` is lacking and the `option` of `trisep embed` that makes it.
        """
        fingerprint = self.embedding_info(encoder_name).fingerprint
        paths = [path_of(self.path, shard.name, encoder_name) for shard in self.manifest.shards]
        command = f"trisep embed {self.path} --encoder {encoder_name} {option}"
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            lacks = f"no {what} by '{encoder_name}' for {len(missing)} of {len(paths)} shards"
            raise StoreError(f"{self.path}: {lacks}; run `{command}`")
        headers = [read_embedding_header(path) for path in paths]
        for path, shard, (info, shapes) in zip(paths, self.manifest.shards, headers, strict=True):
            same = (
                info.fingerprint == fingerprint
                and info.shard_sha256 == shard.sha256
                and info.settings == headers[0][0].settings
            )
            alike = {name: (shard.num_clips, *shape[1:]) for name, shape in headers[0][1].items()}
            holds_boxes = "places" in shapes and path_of is box_path
            if not same or not (holds_boxes or ("captions" in shapes and shapes == alike)):
                raise StoreError(
                    f"{path}: made from another shard, by another version of '{encoder_name}' or with other settings; "
                    f"run `{command} --overwrite`"
                )
        return paths

    def _map_shard(self, shard: int) -> mmap.mmap:
        """Map the bytes of a shard."""
        with shard_path(self.path, self.manifest.shards[shard].name).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _mapped(paths: Sequence[Path], name: str, number: int) -> np.ndarray:
    """Map one tensor of one of several files."""
    return map_embeddings(paths[number])[name]
