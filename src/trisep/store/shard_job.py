"""One shard made from one slice of the inputs: the unit of work and of resuming.

It knows nothing of processes or progress.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trisep.errors import ConfigError, MediaError
from trisep.media.bounds import LEAST_BYTES_PER_SECOND
from trisep.media.files import sha256_of, write_json
from trisep.media.probe import probe
from trisep.media.records import from_json, read_json
from trisep.store.index import ClipEntry
from trisep.store.ingest import ClipSettings, ingest_file
from trisep.store.layout import (
    Manifest,
    ShardInfo,
    SkippedInput,
    part_path,
    reading_path,
    shard_name,
    shard_path,
)
from trisep.store.write import ClipContent, write_shard

_NUM_PROBED = 32
"""Of how many sources the headers are read for an estimate of the whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardPart:
    """What a finished shard contributes to index and manifest."""

    shard: ShardInfo
    skipped: tuple[SkippedInput, ...]
    entries: tuple[ClipEntry, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardJob:
    """Everything that decides a shard, and where the shard goes."""

    folder: Path
    """The input folder."""
    store: Path
    number: int
    """Number of the shard."""
    first_file: int
    """Place of the first source in the sorted list of inputs."""
    sources: tuple[str, ...]
    stretches: tuple[tuple[float | None, float | None], ...] = ()
    """Start and end in seconds for each source, None for the whole file; empty when all are whole files."""
    duplicates: Mapping[str, str]
    """Sources that are the same file as an earlier one, which they map to."""
    excluded: frozenset[str]
    """SHA-256 sums and relative paths that must stay out."""
    settings: ClipSettings
    crashing: frozenset[str] = frozenset()
    """Sources that are known to crash the decoder."""

    @property
    def name(self) -> str:
        """Name of the shard."""
        return shard_name(self.number)


def make_shard(job: ShardJob) -> None:
    """Decode the job's files into one shard; the part file is written last and says that the shard is complete.

    Raises MediaError when the store cannot be written; nothing is raised for a faulty input.
    """
    skipped: list[SkippedInput] = []
    note = reading_path(job.store, job.name)

    def clips() -> Iterator[ClipContent]:
        """Yield the clips of all sources, and collect what is skipped."""
        stretches = job.stretches or ((None, None),) * len(job.sources)
        for place, (source, stretch) in enumerate(zip(job.sources, stretches, strict=True)):
            # The parent process reads this note if a decoder's crash kills this process.
            note.write_text(json.dumps(source), encoding="utf-8")
            for item in _ingest(job, source, stretch, job.first_file + place):
                if isinstance(item, ClipContent):
                    yield item
                else:
                    skipped.append(item)

    path = shard_path(job.store, job.name)
    entries = write_shard(path, clips(), shard=job.number)
    shard = ShardInfo(
        name=job.name,
        num_clips=len(entries),
        num_frames=sum(len(entry.frames) for entry in entries),
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )
    part = ShardPart(shard=shard, skipped=tuple(skipped), entries=entries)
    write_json(part_path(job.store, job.name), asdict(part))
    note.unlink(missing_ok=True)


def least_bytes(jobs: Sequence[ShardJob]) -> int:
    """Estimate, from the headers of some of the sources, what their sounds take in the shards, pictures left out.

    Sources that cannot be read, or declare no length, count as nothing: it is meant to be too low.
    """
    wanted = [
        (job, source, stretch)
        for job in jobs
        for source, stretch in zip(job.sources, job.stretches or ((None, None),) * len(job.sources), strict=True)
        if source not in job.duplicates and source not in job.excluded
    ]
    chosen = wanted[:: max(1, len(wanted) // _NUM_PROBED)]
    num_bytes = sum(_sound_bytes(*one) for one in chosen)
    return round(num_bytes * len(wanted) / max(1, len(chosen)))


def _sound_bytes(job: ShardJob, source: str, stretch: tuple[float | None, float | None]) -> float:
    """Return the bytes of 16-bit mono that a source, or a stretch of it, becomes; 0 where its header does not say."""
    try:
        info = probe(job.folder / source)
        longest = (job.folder / source).stat().st_size / LEAST_BYTES_PER_SECOND
    except (MediaError, OSError, ValueError):
        return 0.0
    if not info.audio or not (info.video or job.settings.audio_only_ok):
        return 0.0
    begin, end = stretch[0] or 0.0, min(longest, info.duration_seconds)
    seconds = max(0.0, min(end, math.inf if stretch[1] is None else stretch[1]) - begin)
    seconds = min(seconds, math.inf if job.settings.max_seconds is None else job.settings.max_seconds)
    return 2.0 * seconds * job.settings.sample_rate_hz


def is_done(job: ShardJob, finished: Manifest | None) -> bool:
    """Return whether the shard is in place with the expected size.

    The size is that in the manifest of a finished store, or else in the shard's part file, without which the shard is
    made again.
    """
    path = shard_path(job.store, job.name)
    if not path.is_file():
        return False
    try:
        expected = finished.shards[job.number] if finished is not None else read_part(job).shard
    except ConfigError:
        return False
    return path.stat().st_size == expected.size_bytes


def read_part(job: ShardJob) -> ShardPart:
    """Read what `make_shard` wrote beside its shard; ConfigError where it is missing or damaged."""
    return from_json(ShardPart, read_json(part_path(job.store, job.name)))


def last_read(job: ShardJob) -> str | None:
    """Return the source that was being read when the shard's process died; None when it was reading none."""
    note = reading_path(job.store, job.name)
    try:
        source = read_json(note)
    except ConfigError:
        return None
    return source if source in job.sources else None


def _ingest(
    job: ShardJob, source: str, stretch: tuple[float | None, float | None], number: int
) -> Iterator[ClipContent | SkippedInput]:
    """Yield the clips of one file or stretch, or why it gives none: it is a duplicate, excluded or unreadable."""
    path = job.folder / source
    start_seconds, end_seconds = stretch
    if source in job.duplicates and start_seconds is None:
        yield SkippedInput(source=source, reason="duplicate", detail=f"the same file as {job.duplicates[source]}")
        return
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        yield SkippedInput(
            source=source, reason="broken", detail=f"cannot be read ({error.strerror})", start_seconds=start_seconds
        )
        return
    if source in job.excluded or sha256 in job.excluded:
        yield SkippedInput(
            source=source, reason="excluded", detail="on the list of excluded files", start_seconds=start_seconds
        )
    elif source in job.crashing:
        detail = "the decoder crashed or ran out of memory"
        yield SkippedInput(source=source, reason="broken", detail=detail, start_seconds=start_seconds)
    else:
        yield from ingest_file(
            path,
            source=source,
            sha256=sha256,
            number=number,
            settings=job.settings,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
        )
