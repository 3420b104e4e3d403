"""`trisep store check`: every byte of a store is verified against the manifest, the index and the clips' descriptions.

It repairs nothing.
"""

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from trisep.errors import ConfigError, StoreError
from trisep.media.files import sha256_of
from trisep.media.records import checked, parse_json
from trisep.store.embeddings import hash_tensors, map_embeddings, read_embedding_header
from trisep.store.index import WAV_HEADER_BYTES, ClipEntry, read_index
from trisep.store.layout import (
    INDEX,
    SHARDS,
    TABLE,
    Manifest,
    ShardInfo,
    box_path,
    caption_path,
    read_manifest,
    shard_path,
)
from trisep.store.table import ClipIndex, is_current
from trisep.store.write import wav_header


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardCheck:
    """What was found in one file of the store."""

    file: str
    """Path relative to the store."""
    num_clips: int
    num_frames: int
    problem: str | None
    """What is wrong and what to do, on one line; None when nothing is wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """What `check_store` found."""

    store: Path
    checks: tuple[ShardCheck, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each file that is damaged."""
        return tuple(f"{check.file}: {check.problem}" for check in self.checks if check.problem is not None)

    def raise_if_damaged(self) -> None:
        """Raise StoreError that names the first damaged file, what to do, and how many more are damaged."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more damaged files)" if len(self.problems) > 1 else ""
            raise StoreError(f"{self.store}: {self.problems[0]}{more}")


def check_store(store: Path, *, console: Console | None = None) -> CheckReport:
    """Verify hashes, offsets, wav headers, descriptions, counts and embeddings of a finished store.

    Args:
        store: the store's folder.
        console: where progress and the table go; None prints nothing.

    Raises StoreError when the folder is no finished store, or when its manifest or index cannot be read; damage to
    single files is reported instead.
    """
    store = Path(store)
    manifest = read_manifest(store)
    checks = [_check_index(store, manifest), *_check_table(store, manifest)]
    pairs = zip(manifest.shards, read_index(store / INDEX, manifest.shards), strict=True)
    total = len(manifest.shards)
    for shard, entries in track(pairs, "check", total=total, console=console, disable=console is None):
        problem = _shard_problem(store, shard, entries, sample_rate_hz=int(manifest.settings["sample_rate_hz"]))
        checks.append(
            ShardCheck(
                file=f"{SHARDS}/{shard.name}.tar",
                num_clips=shard.num_clips,
                num_frames=shard.num_frames,
                problem=problem,
            )
        )
        checks.extend(_check_embeddings(store, shard))
    report = CheckReport(store=store, checks=tuple(checks))
    if console is not None:
        console.print(_table(report))
    return report


def _check_index(store: Path, manifest: Manifest) -> ShardCheck:
    """Check that the index is the one that the manifest was written for."""
    path = store / INDEX
    same = path.is_file() and sha256_of(path) == manifest.index_sha256
    problem = None if same else "is missing or was changed; delete the store and prepare it again"
    return ShardCheck(file=INDEX, num_clips=manifest.num_clips, num_frames=manifest.num_frames, problem=problem)


def _check_table(store: Path, manifest: Manifest) -> list[ShardCheck]:
    """Check that the table, where there is one, says what the index says."""
    if not (store / TABLE).exists():
        return []
    problem = None
    try:
        if is_current(store, manifest):
            table = ClipIndex(store / TABLE, manifest.shards)
            lines = enumerate(read_index(store / INDEX, manifest.shards))
            same = all(table.of_shard(number) == entries for number, entries in lines)
            problem = None if same else f"says other things than {INDEX}"
        else:
            problem = f"was made from another {INDEX}"
    except StoreError:
        problem = "cannot be read"
    remedy = None if problem is None else f"{problem}; delete it and run `trisep embed {store}` to make it again"
    return [ShardCheck(file=TABLE, num_clips=manifest.num_clips, num_frames=manifest.num_frames, problem=remedy)]


def _shard_problem(store: Path, shard: ShardInfo, entries: Sequence[ClipEntry], *, sample_rate_hz: int) -> str | None:
    """Return the first thing that is wrong with a shard, together with the remedy; None when nothing is wrong."""
    path = shard_path(store, shard.name)
    remedy = "delete it and run the same `trisep prepare` command again to make it again"
    if not path.is_file():
        return "is missing; run the same `trisep prepare` command again to make it again"
    try:
        size = path.stat().st_size
        if size != shard.size_bytes:
            return f"has {size} bytes instead of {shard.size_bytes}; {remedy}"
        if sha256_of(path) != shard.sha256:
            return f"its content was changed (SHA-256 differs); {remedy}"
        _compare(path, shard, entries, sample_rate_hz)
    except (OSError, ValueError, ConfigError, tarfile.TarError) as error:
        return f"{error}; {remedy}"
    return None


def _compare(path: Path, shard: ShardInfo, entries: Sequence[ClipEntry], sample_rate_hz: int) -> None:
    """Raise ValueError when the members of a tar differ from the index in place, size or kind."""
    with tarfile.open(path, "r:") as tar:
        found = {member.name: (member.offset_data, member.size) for member in tar}
    expected = {
        f"{entry.key}.{number:03d}.jpg": place for entry in entries for number, place in enumerate(entry.frames)
    }
    expected |= {f"{entry.key}.json": entry.description for entry in entries}
    expected |= {f"{entry.key}.wav": entry.wav for entry in entries}
    if found != expected:
        name = sorted(set(found.items()) ^ set(expected.items()))[0][0]
        raise ValueError(f"member {name} is not where the index says")
    if (len(entries), sum(len(entry.frames) for entry in entries)) != (shard.num_clips, shard.num_frames):
        raise ValueError("the index counts other clips or frames than the manifest")
    with path.open("rb") as file:
        for entry in entries:
            _compare_clip(file, entry, sample_rate_hz)


def _compare_clip(file: BinaryIO, entry: ClipEntry, sample_rate_hz: int) -> None:
    """Raise ValueError when a clip's sound, description or pictures differ from what the index says of them."""
    if entry.wav[1] != WAV_HEADER_BYTES + 2 * entry.num_samples:
        raise ValueError(f"clip {entry.key}: {entry.wav[1]} bytes of wav for {entry.num_samples} samples")
    if _read_at(file, entry.wav[0], WAV_HEADER_BYTES) != wav_header(entry.num_samples, sample_rate_hz=sample_rate_hz):
        raise ValueError(
            f"clip {entry.key}: its wav header does not fit {entry.num_samples} samples at {sample_rate_hz} Hz"
        )
    description = checked(Mapping[str, Any], parse_json(_read_at(file, *entry.description)), "description")
    for name in ("source", "start_seconds", "num_samples", "rms_db", "peak", "wav_scale"):
        if description.get(name, ...) != getattr(entry, name):
            raise ValueError(f"clip {entry.key}: {name} differs between the index and the clip's description")
    if description.get("frame_times_seconds") != list(entry.frame_times_seconds):
        raise ValueError(
            f"clip {entry.key}: the times of its frames differ between the index and the clip's description"
        )
    for offset, size in entry.frames:
        if _read_at(file, offset, 2) != b"\xff\xd8" or _read_at(file, offset + size - 2, 2) != b"\xff\xd9":
            raise ValueError(f"clip {entry.key}: a frame is not a whole JPEG file")


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _check_embeddings(store: Path, shard: ShardInfo) -> list[ShardCheck]:
    """Return one check for each embedding file beside a shard."""
    checks = []
    for path in sorted((store / SHARDS).glob(f"{shard.name}.*.safetensors")):
        encoder = path.name.split(".")[1]
        options = {caption_path: " --captions", box_path: " --boxes lite"}
        option = next((text for at, text in options.items() if path == at(store, shard.name, encoder)), "")
        problem = _embedding_problem(path, shard, holds=option)
        command = f"trisep embed {store} --encoder {encoder}{option}"
        remedy = "" if problem is None else f"{problem}; delete it and run `{command}` again"
        checks.append(
            ShardCheck(
                file=f"{SHARDS}/{path.name}",
                num_clips=shard.num_clips,
                num_frames=shard.num_frames,
                problem=remedy or None,
            )
        )
    return checks


def _embedding_problem(path: Path, shard: ShardInfo, *, holds: str) -> str | None:
    """Return the first thing that is wrong with a file of embeddings; None when nothing is.

    `holds` is the option of `trisep embed` that makes it; empty for those of the frames.
    """
    try:
        info, shapes = read_embedding_header(path)
        tensors = map_embeddings(path)
    except StoreError:
        return "cannot be read as embeddings"
    if info.shard_sha256 != shard.sha256:
        return "was made from another shard"
    main = "captions" if "captions" in holds else "vectors"
    num_rows, of = (shard.num_clips, "captions") if main == "captions" else (shard.num_frames, "frames")
    if "boxes" in holds:
        num_rows, of = shapes.get("labels", (0,))[0], "boxes"
    wide = (shape for name, shape in shapes.items() if name in ("vectors", "regions", "captions"))
    if (
        main not in shapes
        or any(shape[0] != num_rows for shape in shapes.values())
        or any(shape[-1] != info.dim for shape in wide)
    ):
        return f"holds other shapes than {num_rows} {of} of dimension {info.dim}"
    if hash_tensors(tensors) != info.tensors_sha256:
        return "its content was changed (SHA-256 differs)"
    if not np.isfinite(tensors[main]).all():
        return "holds values that are not numbers"
    return None


def _table(report: CheckReport) -> Table:
    """Return the report as a table for people."""
    table = Table("file", "clips", "frames", "state", title=Text(str(report.store)))
    for check in report.checks:
        problem = Text(check.problem or "good")
        table.add_row(Text(check.file), str(check.num_clips), str(check.num_frames), problem)
    return table
