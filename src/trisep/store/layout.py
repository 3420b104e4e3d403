"""The names of the files in a clip store, and its manifest. It reads neither clips nor sound."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trisep.errors import StoreError
from trisep.media.files import write_json

VERSION = 1
MANIFEST = "manifest.json"
INDEX = "index.jsonl"
PLAN = "plan.json"
SHARDS = "shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardInfo:
    """What the manifest says of one shard."""

    name: str
    """A name such as "shard-000000".

    The shard's files are `shards/NAME.tar` and, per encoder, `NAME.ENCODER[.captions].safetensors` beside it.
    """
    num_clips: int
    num_frames: int
    size_bytes: int
    sha256: str


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
        raise StoreError(
            f"{store}: is not a clip store (it has no {MANIFEST}); make one with `trisep prepare VIDEO_FOLDER --out "
            f"{store}`"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise StoreError(
                f"{store}: store version {content['version']}, this trisep reads version {VERSION}; prepare the store "
                "again"
            )
        content["shards"] = tuple(ShardInfo(**shard) for shard in content["shards"])
        content["skipped"] = tuple(SkippedInput(**skipped) for skipped in content["skipped"])
        return Manifest(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be read as a store's manifest ({error}); prepare the store again in a new folder"
        ) from error
