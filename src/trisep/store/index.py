"""Where each clip lies in its shard: one JSON line per clip, so that any part of a sound is one seek away.

This module opens no shard.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from trisep.errors import ConfigError, StoreError
from trisep.media.records import MAX_JSON_BYTES, from_json, parse_json


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


def read_index(path: Path) -> tuple[ClipEntry, ...]:
    """Read all entries in the order of the store; StoreError when the file is missing or damaged."""
    try:
        if not path.is_file():
            raise OSError("no such file, or not a regular one")
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(MAX_JSON_BYTES + 1), b"")
            return tuple(
                from_json(ClipEntry, parse_json(line), f"line {number}") for number, line in enumerate(lines, start=1)
            )
    except (OSError, ValueError, ConfigError) as error:
        raise StoreError(
            f"{path}: cannot be read as the index of a clip store ({error}); prepare the store again"
        ) from error
