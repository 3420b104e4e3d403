"""Where each clip lies in its shard: one JSON line per clip, so that any part of a sound is one seek away.

This module opens no shard.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trisep.errors import StoreError


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


def index_line(entry: ClipEntry) -> str:
    """Return the entry as one line of JSON, without the line end."""
    return json.dumps(asdict(entry), sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_entry(content: dict[str, Any]) -> ClipEntry:
    """Return the entry of a parsed line; TypeError, KeyError or ValueError when the line is not one."""
    return ClipEntry(
        **{
            **content,
            "frame_times_seconds": tuple(content["frame_times_seconds"]),
            "wav": _span(content["wav"]),
            "description": _span(content["description"]),
            "frames": tuple(map(_span, content["frames"])),
        }
    )


def _span(value: Any) -> tuple[int, int]:
    """Return offset and size; TypeError or ValueError when the value is not two numbers."""
    offset, size = value
    return int(offset), int(size)


def read_index(path: Path) -> tuple[ClipEntry, ...]:
    """Read all entries in the order of the store; StoreError when the file is missing or damaged."""
    try:
        with path.open(encoding="utf-8") as file:
            return tuple(parse_entry(json.loads(line)) for line in file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be read as the index of a clip store ({error}); prepare the store again"
        ) from error
