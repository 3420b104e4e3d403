"""The names of the files in a clip store, and its manifest. It reads neither clips nor sound."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trisep.errors import ConfigError, StoreError
from trisep.media.files import write_json
from trisep.media.records import from_json, read_json

VERSION = 1
MANIFEST = "manifest.json"
INDEX = "index.jsonl"
TABLE = "index.arrow"
PLAN = "plan.json"
SHARDS = "shards"


def is_store(folder: Path) -> bool:
    """Return whether a folder is a clip store, finished or begun."""
    return (folder / SHARDS).is_dir() and any((folder / name).is_file() for name in (MANIFEST, PLAN))


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardInfo:
    """What the manifest says of one shard."""

    name: str
    """A name such as "shard-000000", with at least six digits.

    The shard's files are `shards/NAME.tar` and, per encoder, `NAME.ENCODER[.captions|.boxes].safetensors` beside it.
    """
    num_clips: int
    num_frames: int
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Raise ConfigError for a name that leads elsewhere, and for counts below zero."""
        if not re.fullmatch(r"shard-\d{6,}", self.name, re.ASCII):
            raise ConfigError(f"name: expected one such as {shard_name(0)}, got {self.name[:40]!r}")
        if min(self.num_clips, self.num_frames, self.size_bytes) < 0:
            raise ConfigError(f"{self.name}: expected counts and a size of at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedInput:
    """A file, or one stretch of it, that became no clip."""

    source: str
    """Path relative to the input folder, with forward slashes."""
    reason: str
    """One of `trisep.store.ingest.REASONS`."""
    detail: str
    """Explanation for people."""
    start_seconds: float | None = None
    """Where the stretch begins; None when the whole file was skipped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a store is begun with, and what decides its content."""

    settings: Mapping[str, Any]
    """The settings of `prepare`, as plain JSON values (`sample_rate_hz`, `frames_per_second`, …)."""
    inputs_sha256: str
    """Hash of the list of input files (relative paths and sizes)."""
    num_inputs: int
    version: int = VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The summary of a finished store."""

    settings: Mapping[str, Any]
    """The settings of `prepare`, as plain JSON values (`sample_rate_hz`, `frames_per_second`, …)."""
    inputs_sha256: str
    """Hash of the list of input files (relative paths and sizes)."""
    num_inputs: int
    num_clips: int
    num_frames: int
    total_seconds: float
    skipped_counts: Mapping[str, int]
    """Number of skipped files or stretches by reason."""
    skipped: tuple[SkippedInput, ...]
    shards: tuple[ShardInfo, ...]
    index_sha256: str
    version: int = VERSION

    def __post_init__(self) -> None:
        """Raise ConfigError for a sample rate out of range, and for counts below zero."""
        rate = self.settings.get("sample_rate_hz")
        if isinstance(rate, bool) or not isinstance(rate, int) or not 1000 <= rate <= 192000:
            raise ConfigError(f"settings.sample_rate_hz: expected 1000 to 192000, got {str(rate)[:40]}")
        if min(self.num_inputs, self.num_clips, self.num_frames, self.total_seconds) < 0:
            raise ConfigError("expected counts of at least 0")
        summed = tuple(sum(getattr(shard, name) for shard in self.shards) for name in ("num_clips", "num_frames"))
        if summed != (self.num_clips, self.num_frames):
            raise ConfigError(f"{self.num_clips} clips and {self.num_frames} frames, and {summed} in the shards")


def shard_name(number: int) -> str:
    """Return the name of a shard, without suffix."""
    return f"shard-{number:06d}"


def shard_path(store: Path, name: str) -> Path:
    """Return the path of a shard's tar file."""
    return store / SHARDS / f"{name}.tar"


def part_path(store: Path, name: str) -> Path:
    """Return the path of what a finished shard contributes to index and manifest.

    The file exists only until `prepare` has finished.
    """
    return store / SHARDS / f"{name}.part.json"


def reading_path(store: Path, name: str) -> Path:
    """Return the path of a note that names the file being decoded for a shard.

    The note exists only while `prepare` works on that shard.
    """
    return store / SHARDS / f"{name}.reading.json"


def embedding_path(store: Path, name: str, encoder_name: str) -> Path:
    """Return the path of the embeddings of a shard's frames."""
    return store / SHARDS / f"{name}.{encoder_name}.safetensors"


def caption_path(store: Path, name: str, encoder_name: str) -> Path:
    """Return the path of the latent captions of a shard's clips."""
    return store / SHARDS / f"{name}.{encoder_name}.captions.safetensors"


def box_path(store: Path, name: str, encoder_name: str) -> Path:
    """Return the path of the boxes that a detector found in a shard's frames."""
    return store / SHARDS / f"{name}.{encoder_name}.boxes.safetensors"


def write_manifest(store: Path, manifest: Manifest) -> None:
    """Write the manifest; from then on the store is finished."""
    write_json(store / MANIFEST, asdict(manifest))


def read_manifest(store: Path) -> Manifest:
    """Read and check the manifest.

    Raises StoreError when the folder is no store, is unfinished, or the manifest cannot be parsed.
    """
    path = store / MANIFEST
    if not path.is_file():
        if (store / PLAN).is_file():
            raise StoreError(
                f"{store}: this clip store is not finished; run the same `trisep prepare` command again to continue "
                "where it stopped"
            )
        # prepare makes a store in a new or an empty folder alone.
        is_free = not os.path.lexists(store) or (store.is_dir() and not any(store.iterdir()))
        place = shlex.quote(str(store)) if is_free else "NEW_FOLDER"
        raise StoreError(
            f"{store}: is not a clip store (it has no {MANIFEST}); make one with `trisep prepare VIDEO_FOLDER --out "
            f"{place}`"
        )
    try:
        return parse_manifest(read_json(path), str(store))
    except ConfigError as error:
        raise _unreadable(str(store), error) from error


def parse_manifest(content: Any, store: str) -> Manifest:
    """Check a manifest that was read from a store at some address; StoreError when it is none of this version."""
    try:
        if isinstance(content, dict) and content.get("version", VERSION) != VERSION:
            raise StoreError(
                f"{store}: store version {str(content['version'])[:20]}, this trisep reads version {VERSION}; prepare "
                "the store again"
            )
        return from_json(Manifest, content)
    except ConfigError as error:
        raise _unreadable(store, error) from error


def _unreadable(store: str, error: ConfigError) -> StoreError:
    return StoreError(
        f"{store}/{MANIFEST}: cannot be read as a store's manifest ({error}); prepare the store again in a new folder"
    )
