"""`trisep prepare`: a folder of videos → a clip store. The settings of a clip are in `store/ingest.py`.

The sorted list of input files is cut into slices; each slice becomes one shard, made by a process of its own, and a
shard is a pure function of its slice. A finished shard is moved into place, then its part of the index, so a run that
is killed loses only the shards it was working on. The manifest is written last and makes the store finished.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trisep.errors import ConfigError, StoreError
from trisep.media.files import (
    LOCK,
    TEMPORARY_PATTERN,
    replacing_text,
    require_place,
    sha256_of,
    write_failure,
    write_json,
)
from trisep.media.lock import locked
from trisep.media.records import from_json, read_json
from trisep.store.bars import counting_bar
from trisep.store.cluster import run_on_cluster
from trisep.store.index import index_line
from trisep.store.ingest import ClipSettings
from trisep.store.inputs import InputFile, find_duplicates, inputs_digest, list_inputs, read_clip_lists, read_exclusions
from trisep.store.layout import (
    INDEX,
    MANIFEST,
    PLAN,
    SHARDS,
    Manifest,
    Plan,
    ShardInfo,
    SkippedInput,
    part_path,
    read_manifest,
    reading_path,
    shard_path,
    write_manifest,
)
from trisep.store.pool import apart, make_alone, run_jobs
from trisep.store.shard_job import ShardJob, is_done, least_bytes, read_part
from trisep.store.table import make_table

__all__ = ["PrepareReport", "PrepareSettings", "prepare"]
_SHOWN_SKIPPED = 20
"""How many skipped inputs are named on the screen; the manifest has all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSettings(ClipSettings):
    """What a clip is, how clips are grouped, and how the work is done."""

    files_per_shard: int = 128
    """Number of input files (not clips) per shard: a shard depends on its files only. Lower it for long files."""
    exclude: Path | None = None
    """A list (JSON or lines) of SHA-256 sums or relative paths of files that must stay out."""
    clips: tuple[Path, ...] = ()
    """CSV lists (source, start_seconds, end_seconds) of the files, or stretches of files, to use.

    Without a list, every file of the folder is used.
    """
    num_workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Number of processes; the store does not depend on it."""
    cluster: str | None = None
    """Address of a Ray cluster, in place of local processes (see `store/cluster.py`).

    The store does not depend on it.
    """

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers out of range."""
        ClipSettings.__post_init__(self)
        if self.files_per_shard < 1 or self.num_workers < 1:
            raise ConfigError(
                f"files_per_shard and num_workers: expected at least 1, got {self.files_per_shard} and "
                f"{self.num_workers}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareReport:
    """What a run of `prepare` did."""

    store: Path
    num_inputs: int
    num_used_inputs: int
    """Number of files that became at least one clip."""
    num_left_out: int
    """Number of files that became none, without those that the list of exclusions names."""
    num_clips: int
    num_frames: int
    total_seconds: float
    skipped_counts: Mapping[str, int]
    """Number of skipped files, or stretches of files, by reason."""
    num_shards: int
    num_resumed_shards: int
    """Number of shards that an earlier run had made."""


def prepare(
    folder: Path, out: Path, settings: PrepareSettings | None = None, *, console: Console | None = None
) -> PrepareReport:
    """Turn the videos below `folder` into the clip store `out`, or finish a store that was interrupted.

    Args:
        folder: every file below it that is not hidden and not a known sidecar (text, pictures, archives) is an input.
        out: a new or empty folder, or a store begun with the same input and settings.
        settings: the defaults are those that the shipped models were trained with.
        console: where progress goes; None prints nothing.

    Raises MediaError when the folder cannot be read or the store cannot be written; StoreError when `out` is something
    else, was begun with other settings or input, or when no clip is usable.
    """
    settings = settings or PrepareSettings()
    folder, out = Path(folder), Path(out)
    with locked(out):
        return _prepare(folder, out, settings, console)


def _prepare(folder: Path, out: Path, settings: PrepareSettings, console: Console | None) -> PrepareReport:
    """Do what `prepare` does, in a folder that is locked."""
    excluded = read_exclusions(settings.exclude)
    files = read_clip_lists(folder, settings.clips) if settings.clips else list_inputs(folder, leave_out=out)
    plan = _plan(files, settings, excluded)
    finished = _open_store(out, plan)
    # The paths are absolute, since another process, perhaps on another machine, may have another working folder.
    jobs = _jobs(folder.absolute(), out.absolute(), files, settings, excluded)
    if finished is not None and len(finished.shards) != len(jobs):
        raise StoreError(f"{out}: has {len(finished.shards)} shards, expected {len(jobs)}; prepare it again elsewhere")
    waiting = [job for job in jobs if not is_done(job, finished)]
    _require_room(out, waiting, files)
    _run(waiting, settings, num_files=len(files), console=console)
    if finished is not None:
        _verify_rebuilt(waiting, finished)
    manifest = finished or _merge(folder, out, jobs, plan)
    make_table(out, manifest)
    if finished is None:
        write_manifest(out, manifest)
    _tidy(out, jobs)
    report = _report(out, manifest, files, num_resumed=len(jobs) - len(waiting))
    if console is not None:
        console.print(_table(report))
        for line in _skipped_lines(manifest.skipped):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if excluded and not report.skipped_counts.get("excluded"):
            expected = "SHA-256 sums, or paths relative to the folder"
            console.print(
                f"none of the {len(excluded)} entries of {settings.exclude} matches an input; expected {expected}",
                soft_wrap=True,
            )
    return report


def _require_room(out: Path, waiting: list[ShardJob], files: tuple[InputFile, ...]) -> None:
    """Raise MediaError before any work where the disk cannot take even the sounds of what is to be made.

    Headers are read only where the inputs are larger than what is free; as everywhere, in a process that may crash.
    """
    require_place(out / SHARDS)
    sources = {source for job in waiting for source in job.sources}
    num_bytes = sum({file.source: file.size_bytes for file in files if file.source in sources}.values())
    if num_bytes > shutil.disk_usage(out).free:
        require_place(out / SHARDS, apart(least_bytes, waiting, otherwise=0))


def _plan(files: tuple[InputFile, ...], settings: PrepareSettings, excluded: frozenset[str]) -> Plan:
    """Return what decides the content of the store."""
    kept: dict[str, Any] = {field.name: getattr(settings, field.name) for field in fields(ClipSettings)}
    kept["files_per_shard"] = settings.files_per_shard
    kept["excluded"] = sorted(excluded)
    return Plan(settings=kept, inputs_sha256=inputs_digest(files), num_inputs=len(files))


def _open_store(out: Path, plan: Plan) -> Manifest | None:
    """Begin a store, or check that the one begun has the same plan; return the manifest of a finished store."""
    try:
        found = {entry.name for entry in out.iterdir()} if out.exists() else set()
        if (out / MANIFEST).is_file():
            manifest = read_manifest(out)
            _require_same(out, plan, Plan(**{name: getattr(manifest, name) for name in asdict(plan)}))
            return manifest
        if (out / PLAN).is_file():
            _require_same(out, plan, _read_plan(out))
            _remove_temporary(out)
        elif any(not name.startswith(TEMPORARY_PATTERN.rstrip("*")) for name in found):
            raise StoreError(f"{out}: the folder is not empty and not a clip store; choose a new folder for the store")
        else:
            out.mkdir(parents=True, exist_ok=True)
            write_json(out / PLAN, asdict(plan))
        (out / SHARDS).mkdir(exist_ok=True)
    except OSError as error:
        raise write_failure(out, error) from error
    return None


def _read_plan(out: Path) -> Plan:
    """Read the plan of an unfinished store."""
    try:
        return from_json(Plan, read_json(out / PLAN))
    except ConfigError as error:
        raise StoreError(
            f"{out / PLAN}: cannot be read as the plan of a store ({error}); choose a new folder for the store"
        ) from error


def _require_same(out: Path, wanted: Plan, found: Plan) -> None:
    """Raise StoreError that names the first difference between the plan and what the store was begun with."""
    if wanted.version != found.version:
        raise StoreError(f"{out}: the store was begun by another version of trisep; choose a new folder for the store")
    for name, value in wanted.settings.items():
        if (was := found.settings.get(name)) != value:
            changed = f"{name}={str(was)[:80]}, now it is {value}"
            what = "another list of excluded files" if name == "excluded" else changed
            raise StoreError(
                f"{out}: the store was begun with {what}; use the same settings, or choose a new folder for the store"
            )
    if wanted.inputs_sha256 != found.inputs_sha256:
        counts = f"{found.num_inputs} files then, {wanted.num_inputs} now"
        raise StoreError(
            f"{out}: the input folder has changed since the store was begun ({counts}); choose a new folder for the "
            "store"
        )


def _jobs(
    folder: Path, out: Path, files: tuple[InputFile, ...], settings: PrepareSettings, excluded: frozenset[str]
) -> list[ShardJob]:
    """Make one job for each slice of the list of inputs."""
    duplicates = find_duplicates(folder, files)
    clip_settings = ClipSettings(**{field.name: getattr(settings, field.name) for field in fields(ClipSettings)})
    jobs = []
    for number, first in enumerate(range(0, len(files), settings.files_per_shard)):
        chosen = files[first : first + settings.files_per_shard]
        sources = tuple(file.source for file in chosen)
        own = {source: duplicates[source] for source in sources if source in duplicates}
        job = ShardJob(
            folder=folder,
            store=out,
            number=number,
            first_file=first,
            sources=sources,
            stretches=tuple((file.start_seconds, file.end_seconds) for file in chosen),
            duplicates=own,
            excluded=excluded,
            settings=clip_settings,
        )
        jobs.append(job)
    return jobs


def _run(jobs: list[ShardJob], settings: PrepareSettings, *, num_files: int, console: Console | None) -> None:
    """Make the shards that are missing, in this process, in a pool or on a cluster."""
    with counting_bar("files", console) as progress:
        task = progress.add_task(
            "prepare", total=num_files, completed=num_files - sum(len(job.sources) for job in jobs)
        )
        num_workers = settings.num_workers
        if settings.cluster is None:
            done = run_jobs(jobs, num_workers=num_workers)
        else:
            done = run_on_cluster(jobs, make_alone, address=settings.cluster, num_workers=num_workers)
        for job in done:
            progress.advance(task, len(job.sources))


def _merge(folder: Path, out: Path, jobs: list[ShardJob], plan: Plan) -> Manifest:
    """Join the parts, one at a time, into the index; return the manifest.

    Raises StoreError when the store would hold no clip; then nothing of it is left.
    """
    skipped: list[SkippedInput] = []
    shards: list[ShardInfo] = []
    num_samples = 0
    with replacing_text(out / INDEX) as file:
        for part in map(read_part, jobs):
            file.writelines(index_line(entry) + "\n" for entry in part.entries)
            num_samples += sum(entry.num_samples for entry in part.entries)
            skipped += part.skipped
            shards.append(part.shard)
        counts = dict(sorted(Counter(item.reason for item in skipped).items()))
    if not any(shard.num_clips for shard in shards):
        _tidy(out, jobs)
        (out / INDEX).unlink()
        shutil.rmtree(out / SHARDS)
        raise _no_clip(folder, skipped, counts)
    return Manifest(
        **asdict(plan),
        num_clips=sum(shard.num_clips for shard in shards),
        num_frames=sum(shard.num_frames for shard in shards),
        total_seconds=num_samples / plan.settings["sample_rate_hz"],
        skipped_counts=counts,
        skipped=tuple(skipped),
        shards=tuple(shards),
        index_sha256=sha256_of(out / INDEX),
    )


def _no_clip(folder: Path, skipped: Sequence[SkippedInput], counts: Mapping[str, int]) -> StoreError:
    """The error for a folder none of whose files is of use, which names the first of them."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    named = [f"{item.source}: {' '.join(item.detail.split()) or item.reason}" for item in skipped]
    first = "; ".join(line[:200] for line in named[:3]) + ("; …" if len(named) > 3 else "")
    hint = "; for sound without pictures use --audio-only-ok" if "no picture" in counts else ""
    return StoreError(f"{folder}: no file gave a usable clip ({reasons}): {first}{hint}")


def _verify_rebuilt(rebuilt: Sequence[ShardJob], finished: Manifest) -> None:
    """Check that shards made again for a finished store have the same content as before.

    Raises StoreError that names the first that differs, and removes that shard again.
    """
    for job in rebuilt:
        if read_part(job).shard.sha256 != finished.shards[job.number].sha256:
            for path in (shard_path(job.store, job.name), part_path(job.store, job.name)):
                path.unlink()
            raise StoreError(
                f"{job.store}: {job.name} came out different from before: its source files have changed; prepare a new "
                "store"
            )


def _tidy(out: Path, jobs: list[ShardJob]) -> None:
    """Remove what only an unfinished store needs."""
    for leftover in (*(path(out, job.name) for job in jobs for path in (part_path, reading_path)), out / PLAN):
        leftover.unlink(missing_ok=True)
    _remove_temporary(out)


def _remove_temporary(out: Path) -> None:
    """Remove the half-written files of runs that were killed."""
    for leftover in out.rglob(TEMPORARY_PATTERN):
        if leftover.name != LOCK:
            leftover.unlink(missing_ok=True)


def _report(out: Path, manifest: Manifest, files: tuple[InputFile, ...], *, num_resumed: int) -> PrepareReport:
    """Summarise the manifest."""
    inputs = {(file.source, file.start_seconds) for file in files}
    unused = {(item.source, item.start_seconds): item.reason for item in manifest.skipped}
    unused = {item: reason for item, reason in unused.items() if item in inputs}
    return PrepareReport(
        store=out,
        num_inputs=manifest.num_inputs,
        num_used_inputs=manifest.num_inputs - len(unused),
        num_left_out=sum(reason != "excluded" for reason in unused.values()),
        num_clips=manifest.num_clips,
        num_frames=manifest.num_frames,
        total_seconds=manifest.total_seconds,
        skipped_counts=manifest.skipped_counts,
        num_shards=len(manifest.shards),
        num_resumed_shards=num_resumed,
    )


def _skipped_lines(skipped: Sequence[SkippedInput]) -> Iterator[str]:
    """Name the first inputs that became no clip, each with its reason."""
    for item in skipped[:_SHOWN_SKIPPED]:
        at = "" if item.start_seconds is None else f" at {item.start_seconds:g} s"
        yield f"skipped: {item.source}{at}: {' '.join(item.detail.split()) or item.reason}"
    if len(skipped) > _SHOWN_SKIPPED:
        yield f"skipped: {len(skipped) - _SHOWN_SKIPPED} more, which {MANIFEST} lists"


def _table(report: PrepareReport) -> Table:
    """Return the report as a table for people."""
    table = Table(title=Text(str(report.store)), show_header=False)
    table.add_row("files used", f"{report.num_used_inputs} of {report.num_inputs}")
    table.add_row("clips", f"{report.num_clips} ({report.total_seconds / 3600.0:.2f} h, {report.num_frames} frames)")
    table.add_row("shards", f"{report.num_shards} ({report.num_resumed_shards} from an earlier run)")
    for reason, count in report.skipped_counts.items():
        table.add_row(f"skipped: {reason}", str(count))
    return table
