"""The availability of a data set: which of its listed clips are usable, as a table, a report and lists for `prepare`.

Every checked file is recorded at once beside the lists, so a run that was interrupted continues where it stopped, and a
second run decodes only new or changed files. `datasets/status.py` defines when a clip is usable. This file knows no
published form of metadata.
"""

import json
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trisep.datasets import ListedClip, SplitRule, has_pictures, list_clips
from trisep.datasets.fetch import fetch_missing, parse_template
from trisep.datasets.folder import MediaIndex, media_files
from trisep.datasets.lists import require_own, status_report, write_lists
from trisep.datasets.status import STATES, CheckSettings, ClipCheck, check_clip, mark_duplicates
from trisep.errors import ConfigError, MediaError
from trisep.media.files import make_folder
from trisep.media.records import from_json, parse_json
from trisep.store.bars import counting_bar
from trisep.store.pool import end_with_parent

CHECKS = "checks.jsonl"
"""Name of the file with the checks so far, one line each; delete it to check every file again."""
MAX_TABLE_ROWS = 60
"""Above this number of rows the table shows splits alone, and the first clips that are not usable;
status.json always holds all."""


@dataclass(frozen=True, slots=True)
class CheckJob:
    """One clip whose file exists."""

    place: int
    """Position of the clip in the list."""
    clip: ListedClip
    source: str
    is_cut: bool


def check_data_set(
    name: str,
    media: Path,
    *,
    metadata: Sequence[Path] = (),
    out: Path | None = None,
    rule: SplitRule | None = None,
    command: str | None = None,
    min_seconds: float = 1.0,
    silence_db: float = -60.0,
    still_level: float = 1.0,
    num_workers: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Check the clips of a published data set, and report which are usable and what is wrong with the others.

    Args:
        name: a `DataSetName`.
        media: folder of its files, searched through all its levels.
        metadata: its files as published.
        out: folder for the lists of usable clips, one for each split, and the report; None writes nothing.
        rule: the split; None is that of the papers.
        command: the user's own command for each missing clip (see `fetch`).
        min_seconds: clips with less sound are too short.
        silence_db: clips below this level in dBFS are silent.
        still_level: clips whose frames differ by no more than this many grey levels are still.
        num_workers: processes; None is one per processor.
        console: where progress is printed; None prints none.

    Raises ConfigError and MediaError for metadata, folders and templates that cannot be used.
    """
    thresholds = {"min_seconds": min_seconds, "silence_db": silence_db, "still_level": still_level}
    settings = CheckSettings(needs_picture=has_pictures(name), **thresholds)
    clips = list_clips(name, metadata, media, rule=rule)
    if out is not None:
        require_own(out, {clip.split for clip in clips}, checks=out / CHECKS)
    failures = {} if command is None else _fetch(command, clips, media, settings, console)
    if out is not None:
        make_folder(out)
    num_workers = num_workers or os.cpu_count() or 1
    found = check_clips(clips, media, settings, out=out, num_workers=num_workers, console=console)
    checks = [
        ClipCheck(state="missing", detail=failures.get(clip.key, "no file of its name")) if check is None else check
        for clip, check in zip(clips, found, strict=True)
    ]
    checks = mark_duplicates(clips, checks)
    report = status_report(name, clips, checks)
    if out is not None:
        write_lists(out, clips, checks, report)
    return report


def require_usable(report: dict[str, Any], media: Path) -> int:
    """Count the clips of a report that are not usable; MediaError when none is usable."""
    states: dict[str, int] = report["states"]
    if not states["usable"]:
        reasons = ", ".join(f"{count} {state}" for state, count in states.items() if count)
        raise MediaError(
            f"{media}: none of the {sum(states.values())} listed clips is usable ({reasons}); give the folder of their "
            "files"
        )
    return sum(states.values()) - states["usable"]


def check_clips(
    clips: Sequence[ListedClip],
    media: Path,
    settings: CheckSettings,
    *,
    out: Path | None = None,
    num_workers: int = 1,
    console: Console | None = None,
) -> list[ClipCheck | None]:
    """Check the file of every clip; None where there is none. Duplicates are not searched.

    Args:
        clips: the clips that a data set lists.
        media: the folder of media files. MediaError when it cannot be read.
        settings: thresholds.
        out: an existing folder where checks are recorded, for the next run to use unless file or thresholds differ.
        num_workers: processes.
        console: where progress is printed; None prints none.
    """
    index = MediaIndex(media_files(media))
    found: list[ClipCheck | None] = [None] * len(clips)
    known = _read_notes(out)
    jobs, identities = [], {}
    for place, clip in enumerate(clips):
        if (located := index.find(clip)) is None:
            continue
        job = CheckJob(place, clip, *located)
        if (identity := _identity(job, media, settings)) is None:
            found[place] = ClipCheck(state="unreadable", source=job.source, detail="leads nowhere")
            continue
        identities[place] = identity
        if (check := known.get(identities[place])) is not None:
            found[place] = check
        else:
            jobs.append(job)
    # In a log, and beside an error, a bar is noise.
    interactive = console if console is not None and console.is_interactive else None
    notes = nullcontext() if out is None else (out / CHECKS).open("a", encoding="utf-8")
    with notes as file, counting_bar("clips", interactive) as progress:
        task = progress.add_task("check", total=len(identities), completed=len(identities) - len(jobs))
        for job, check in _run(jobs, media, settings, num_workers):
            found[job.place] = check
            if file is not None:
                # The line end comes first: then a line that a kill cut off does not spoil the next one.
                file.write("\n" + json.dumps({"of": identities[job.place], "check": asdict(check)}))
                file.flush()
            progress.advance(task)
    return found


def _run(
    jobs: Iterable[CheckJob], media: Path, settings: CheckSettings, num_workers: int
) -> Iterator[tuple[CheckJob, ClipCheck]]:
    """Yield every job with its check, in any order.

    A file that crashes the decoder takes one process with it, and is named.
    """
    waiting = deque(jobs)
    if min(num_workers, len(waiting)) <= 1:
        yield from ((job, _check(job, media, settings)) for job in waiting)
        return
    while waiting:
        at_work: dict[Future[ClipCheck], CheckJob] = {}
        try:
            yield from _run_pool(waiting, at_work, media, settings, num_workers)
        except BrokenProcessPool:
            # One of the files in work crashed its process; alone in a process, it crashes again and is found.
            for job in at_work.values():
                try:
                    yield from _run_pool(deque([job]), {}, media, settings, 1)
                except BrokenProcessPool:
                    detail = "the decoder crashed or ran out of memory"
                    yield job, ClipCheck(state="unreadable", source=job.source, detail=detail)


def _run_pool(
    waiting: deque[CheckJob],
    at_work: dict[Future[ClipCheck], CheckJob],
    media: Path,
    settings: CheckSettings,
    num_workers: int,
) -> Iterator[tuple[CheckJob, ClipCheck]]:
    """Check jobs in parallel, with a few more in the queue than there are processes.

    `at_work` holds the jobs that have begun and are not yet yielded.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            while waiting or at_work:
                while waiting and len(at_work) < 4 * num_workers:
                    at_work[pool.submit(_check, waiting[0], media, settings)] = waiting[0]
                    waiting.popleft()
                for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                    check = future.result()
                    yield at_work.pop(future), check
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Ignore interrupts, which the parent handles, and end with the parent when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _check(job: CheckJob, media: Path, settings: CheckSettings) -> ClipCheck:
    return check_clip(media, job.source, job.clip, is_cut=job.is_cut, settings=settings)


def _fetch(
    command: str, clips: Sequence[ListedClip], media: Path, settings: CheckSettings, console: Console | None
) -> dict[str, str]:
    """Run the user's command for missing clips; return the reasons of failures, by key."""
    words = parse_template(command)
    index = MediaIndex(media_files(media))
    missing = [clip for clip in clips if index.find(clip) is None]
    return fetch_missing(missing, words, media, suffix=".mp4" if settings.needs_picture else ".wav", console=console)


def _identity(job: CheckJob, media: Path, settings: CheckSettings) -> str | None:
    """Join everything that decides the check of a file; size and time of change stand for its content.

    None for a link that leads nowhere, and for a file that has gone since the folder was read.
    """
    try:
        status = (media / job.source).stat()
    except OSError:
        return None
    stretch = (job.clip.start_seconds, job.clip.end_seconds, job.is_cut)
    return json.dumps([job.source, status.st_size, status.st_mtime_ns, *stretch, *astuple(settings)])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Note:
    """One line of the checks of earlier runs."""

    of: str
    """What decides the check (`_identity`)."""
    check: ClipCheck


def _read_notes(out: Path | None) -> dict[str, ClipCheck]:
    """Read the checks of earlier runs, by identity; a line that a kill cut off is skipped."""
    known: dict[str, ClipCheck] = {}
    if out is not None and (out / CHECKS).is_file():
        for line in (out / CHECKS).read_bytes().splitlines():
            try:
                note = from_json(_Note, parse_json(line))
                known[note.of] = note.check
            except (ValueError, ConfigError):
                continue
    return known


def report_tables(report: dict[str, Any], out: Path | None) -> Iterator[Table | Text]:
    """Yield the report in 80 columns: counts by class and by split, then the clips that are not usable, by name."""
    # As texts, names are shown as they are: in strings, rich takes what stands in brackets for styles.
    table = Table("split", "class", "listed", "usable", "not usable", title=report["data_set"])
    if len(report["classes"]) <= MAX_TABLE_ROWS:
        for row in report["classes"]:
            table.add_row(row["split"], Text(row["class"]), *_counts(row["states"]))
        table.add_section()
    for split, states in report["splits"].items():
        table.add_row(split, "all", *_counts(states))
    yield table
    defects = report["defects"]
    if not defects:
        return
    named = Table("clip", "state", "why")
    for defect in defects[:MAX_TABLE_ROWS]:
        named.add_row(Text(defect["source"] or defect["key"]), defect["state"], Text(defect["detail"]))
    yield named
    if len(defects) > MAX_TABLE_ROWS:
        where = f"{out}/status.json has them all" if out else "--out DIR or --json gives them all"
        yield Text(f"and {len(defects) - MAX_TABLE_ROWS} more that are not usable: {where}")


def _counts(states: dict[str, int]) -> tuple[str, str, str]:
    """Format how many clips are listed, how many are usable, and how many of the others there are in each state."""
    others = ", ".join(f"{states[state]} {state}" for state in STATES if state != "usable" and states[state])
    return str(sum(states.values())), str(states["usable"]), others
