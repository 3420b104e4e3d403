"""Where each clip lies in its shard: one JSON line per clip, so that any part of a sound is one seek away.

This is the index as it is written and as people read it; what is read while training is made from it, in
`store/table.py`. This module opens no shard.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from trisep.errors import ConfigError, StoreError
from trisep.media.records import MAX_JSON_BYTES, from_json, parse_json
from trisep.store.layout import ShardInfo

WAV_HEADER_BYTES = 44
"""Bytes before the samples of a stored wav file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipEntry:
    """One clip of the index. Offsets are bytes from the start of the shard's tar file."""

    key: str
    """Unique name of the clip in the store; it says nothing about the clip's content."""
    source: str
    """Path of the file that the clip was cut from, relative to the input folder, with forward slashes."""
    start_seconds: float
    """Where in the file the clip begins."""
    num_samples: int
    rms_db: float
    """Level of the sound as decoded, in dBFS."""
    peak: float
    """Largest absolute value of the sound as decoded; above 1 when it goes beyond full scale."""
    wav_scale: float
    """Factor by which the stored wav was multiplied to fit 16 bits; 1 unless the peak is beyond full scale."""
    frame_times_seconds: tuple[float, ...]
    """Time of each frame, from the start of the clip."""
    shard: int
    """Number of the shard."""
    wav: tuple[int, int]
    """Offset and size of the wav file."""
    frames: tuple[tuple[int, int], ...]
    """Offset and size of each frame's JPEG file."""
    description: tuple[int, int]
    """Offset and size of the clip's JSON file."""

    def __post_init__(self) -> None:
        """Raise ConfigError for what no clip has: places before the beginning, no samples, no scale."""
        places = (self.wav, self.description, *self.frames)
        if min(self.shard, self.num_samples, *(min(place) for place in places)) < 0:
            raise ConfigError(f"clip {self.key[:40]!r}: expected offsets, sizes and numbers of at least 0")
        if not 0 < self.wav_scale <= 1 or len(self.frame_times_seconds) != len(self.frames):
            raise ConfigError(f"clip {self.key[:40]!r}: expected a scale above 0 and one time for each frame")


def index_line(entry: ClipEntry) -> str:
    """Return the entry as one line of JSON, without the line end."""
    return json.dumps(asdict(entry), sort_keys=True, separators=(",", ":"), allow_nan=False)


def require_inside(entry: ClipEntry, number: int, shard: ShardInfo) -> None:
    """Raise ConfigError for a clip that does not lie within the shard of that number."""
    end = max(offset + size for offset, size in (entry.wav, entry.description, *entry.frames))
    if entry.shard != number or end > shard.size_bytes or entry.wav[1] < WAV_HEADER_BYTES + 2 * entry.num_samples:
        raise ConfigError(f"the clip {entry.key[:60]} lies outside its shard")


def read_index(path: Path, shards: Sequence[ShardInfo]) -> Iterator[tuple[ClipEntry, ...]]:
    """Yield the entries of each shard in turn, so that one shard's are in memory.

    Raises StoreError when the file is missing or damaged, counts other clips or frames than the shards, or has a clip
    outside its shard.
    """
    try:
        if not path.is_file():
            raise OSError("no such file, or not a regular one")
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(MAX_JSON_BYTES + 1), b"")
            numbered = enumerate(lines, start=1)
            for number, shard in enumerate(shards):
                entries = tuple(
                    from_json(ClipEntry, parse_json(line), f"line {place}")
                    for place, line in islice(numbered, shard.num_clips)
                )
                _require_whole(entries, number, shards)
                yield entries
            if any(True for _ in lines):
                raise ValueError("it has more clips than the manifest counts")
    except (OSError, ValueError, ConfigError) as error:
        raise StoreError(
            f"{path}: cannot be read as the index of a clip store ({error}); prepare the store again"
        ) from error


def _require_whole(entries: Sequence[ClipEntry], number: int, shards: Sequence[ShardInfo]) -> None:
    """Raise ConfigError where the entries are not those of all clips of a shard."""
    shard = shards[number]
    if len(entries) != shard.num_clips:
        found = sum(earlier.num_clips for earlier in shards[:number]) + len(entries)
        raise ConfigError(f"{found} clips where the manifest counts {sum(each.num_clips for each in shards)}")
    for entry in entries:
        require_inside(entry, number, shard)
    if (num_frames := sum(len(entry.frames) for entry in entries)) != shard.num_frames:
        raise ConfigError(f"{num_frames} frames in {shard.name} where the manifest counts {shard.num_frames}")
