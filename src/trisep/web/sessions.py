"""Sessions: one per file that was dropped, with its folder, stems and exports, and what the page is told of them.

A session lives in memory and in one folder; both go when it is closed, an hour after its last use, or with the server.
"""

import asyncio
import contextlib
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from trisep.web.lane import Job, Lane, QueueFullError
from trisep.web.settings import WebSettings


@dataclass(eq=False, slots=True)
class Stem:
    """A query of a session and the sound that it gave."""

    key: str
    name: str
    """What it is called on the page and in exports."""
    query: dict[str, Any]
    """`text`, `place`, `span`, or the path of an `image` or a `sound`, as tasks read it."""
    job: Job
    folder: Path
    heat: Job | None = None

    def entry(self, lane: Lane) -> dict[str, Any]:
        """What the page is told."""
        kind = next(iter(self.query))
        about = {"key": self.key, "name": self.name, "kind": kind, "place": self.query.get("place")}
        return {**about, **job_entry(self.job, lane), "heat": None if self.heat is None else job_entry(self.heat, lane)}


@dataclass(eq=False, slots=True)
class Export:
    """A file that is made to be saved."""

    key: str
    kind: str
    job: Job


@dataclass(eq=False, slots=True)
class Session:
    """One file, and all that was made of it."""

    key: str
    folder: Path
    title: str
    """Name of the file as its owner knows it."""
    path: Path
    reading: Job | None = None
    heard: Job | None = None
    """What is heard in the file, as suggestions."""
    stems: dict[str, Stem] = field(default_factory=dict)
    exports: dict[str, Export] = field(default_factory=dict)
    rest: Job | None = None
    used: float = field(default_factory=time.monotonic)

    @property
    def sound(self) -> Path:
        """The sound of the file, as floats."""
        return self.folder / "sound.wav"

    @property
    def finished_stems(self) -> list[Stem]:
        """Stems that can be heard."""
        return [stem for stem in self.stems.values() if stem.job.state == "done"]

    def task(self, name: str, **values: Any) -> dict[str, Any]:
        """A task about this file."""
        return {"name": name, "path": str(self.path), "title": self.title, "sound": str(self.sound), **values}


class Sessions:
    """All sessions; `network` does what needs the model, `media` the rest, so that exports do not wait for stems."""

    def __init__(self, folder: Path, settings: WebSettings, *, network: Lane, media: Lane) -> None:
        """`folder` is where the sessions' folders are made."""
        self._folder, self._settings, self._network, self._media = folder, settings, network, media
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, key: str) -> Session:
        """Return a session and note its use; HTTPException 404 for one that is not there (any more)."""
        if key not in self._sessions:
            raise HTTPException(404, "This file is no longer here: files are removed an hour after their last use.")
        session = self._sessions[key]
        session.used = time.monotonic()
        return session

    def open(self, title: str) -> Session:
        """Make a session without a file yet; HTTPException 503 when there are too many."""
        if len(self._sessions) >= self._settings.max_sessions:
            raise HTTPException(503, "Too many files are open here; close one, or try again later.")
        key = secrets.token_urlsafe(16)
        folder = self._folder / key
        (folder / "stems").mkdir(parents=True)
        (folder / "exports").mkdir()
        suffix = "".join(letter for letter in Path(title).suffix.lower()[:6] if letter.isascii() and letter.isalnum())
        session = Session(key, folder, title, folder / f"input.{suffix}" if suffix else folder / "input")
        self._sessions[key] = session
        return session

    def start_reading(self, session: Session) -> None:
        """Queue the decoding of a file that has arrived."""
        task = session.task("read", max_seconds=self._settings.max_seconds)
        session.reading = submit(self._media, Job(task, lambda job: self._suggest(session, job)))

    def add_stem(self, session: Session, name: str, query: dict[str, Any]) -> Stem:
        """Queue the separation of a query; HTTPException when the file is not ready, or has stems enough."""
        if session.reading is None or session.reading.state != "done":
            raise HTTPException(409, "The file is not ready yet.")
        if len(session.stems) >= self._settings.max_stems:
            raise HTTPException(409, f"At most {self._settings.max_stems} sounds at a time; remove one first.")
        key = secrets.token_hex(4)
        stem = Stem(key, name, query, *self._separation(session, name, query))
        session.stems[key] = stem
        return stem

    def reword(self, session: Session, stem: Stem, text: str) -> None:
        """Ask for something else in the place of a stem; the others stay as they are."""
        before = stem.job, stem.heat, stem.folder
        stem.job, stem.folder = self._separation(session, text, {"text": text})
        stem.name, stem.query, stem.heat = text, {"text": text}, None
        self._give_up(*before)

    def remove_stem(self, session: Session, stem: Stem) -> None:
        """Cancel or forget a stem."""
        del session.stems[stem.key]
        self._give_up(stem.job, stem.heat, stem.folder)
        self._measure_rest(session)

    def find_in_picture(self, session: Session, stem: Stem) -> None:
        """Queue the heat map of a stem, once."""
        if stem.heat is None or stem.heat.state in ("failed", "cancelled"):
            task = session.task("heat", query=stem.query, name_of_query=stem.name, out=str(heat_file(stem)))
            stem.heat = submit(self._network, Job(task))

    async def spectrogram(self, session: Session, stem: Stem) -> Path:
        """Return the picture of a stem's sound, drawn when it is first asked for; HTTPException where that fails."""
        out = stem.folder / "spectrogram.png"
        if not out.exists():
            task = session.task("spectrogram", stem=str(stem_file(stem)), out=str(out))
            job = submit(self._media, Job(task))
            await job.ended.wait()
            if job.state != "done":
                raise HTTPException(409, job.error or "The spectrogram was cancelled.")
        return out

    def add_export(self, session: Session, kind: str, gains: dict[str, float]) -> Export:
        """Queue a zip of all stems, what is left without them (`rest`), or the mix as video or sound.

        The mix is by `gains`, of stems by their keys, and of `rest`.
        """
        for old in [export for export in session.exports.values() if export.kind == kind]:
            self.remove_export(session, old)
        key = secrets.token_hex(4)
        if kind == "rest":
            gains = {"rest": 1.0}
        stems = [
            {"name": stem.name, "sound": str(stem_file(stem)), "gain": gains.get(stem.key, 0.0)}
            for stem in session.finished_stems
        ]
        end = "everything else" if kind == "rest" else "mix"
        values = {"stems": stems, "rest_gain": gains.get("rest", 0.0), "is_video": kind == "video", "end": end}
        suffix = ".zip" if kind == "zip" else ""
        out = str(session.folder / "exports" / f"{key}{suffix}")
        task = session.task("zip" if kind == "zip" else "export", out=out, **values)
        export = Export(key, kind, submit(self._media, Job(task)))
        session.exports[key] = export
        return export

    def remove_export(self, session: Session, export: Export) -> None:
        """Cancel or forget an export."""
        del session.exports[export.key]
        self._media.cancel(export.job)
        export.job.on_end = lambda job: _remove_files(session.folder / "exports", export.key)
        if not export.job.is_open:
            _remove_files(session.folder / "exports", export.key)

    async def close(self, session: Session) -> None:
        """Cancel what is done for a session and remove its files."""
        self._sessions.pop(session.key, None)
        jobs = [session.reading, session.heard, session.rest, *(export.job for export in session.exports.values())]
        jobs += [job for stem in session.stems.values() for job in (stem.job, stem.heat)]
        for job in jobs:
            if job is not None and job.is_open:
                job.on_end = lambda job: None
                self._media.cancel(job)
                self._network.cancel(job)
                await job.ended.wait()
        await asyncio.to_thread(shutil.rmtree, session.folder, ignore_errors=True)

    async def close_unused(self) -> None:
        """Close the sessions that nobody used for long."""
        oldest = time.monotonic() - self._settings.keep_seconds
        for session in [session for session in self._sessions.values() if session.used < oldest]:
            await self.close(session)

    def entry(self, session: Session) -> dict[str, Any]:
        """What the page is told of a session."""
        exports = [
            {"key": export.key, "kind": export.kind, **job_entry(export.job, self._media)}
            for export in session.exports.values()
        ]
        return {
            "key": session.key,
            "title": session.title,
            "reading": None if session.reading is None else job_entry(session.reading, self._media),
            "heard": None if session.heard is None else job_entry(session.heard, self._media),
            "stems": [stem.entry(self._network) for stem in session.stems.values()],
            "rest": None if session.rest is None else job_entry(session.rest, self._media),
            "exports": exports,
        }

    def _suggest(self, session: Session, reading: Job) -> None:
        """Queue suggestions of what to ask for, once a file was read; a full queue leaves them out."""
        if reading.state == "done":
            with contextlib.suppress(QueueFullError):
                session.heard = self._media.submit(Job(session.task("tags")))

    def _separation(self, session: Session, name: str, query: dict[str, Any]) -> tuple[Job, Path]:
        """Queue a separation; return its job and folder."""
        folder = session.folder / "stems" / secrets.token_hex(4)
        task = session.task("separate", query=query, name_of_query=name, out=str(folder))
        folder.mkdir()

        def on_end(job: Job) -> None:
            """Measure what is left, or remove what was half done."""
            if job.state == "done":
                self._measure_rest(session)
            else:
                shutil.rmtree(folder, ignore_errors=True)

        try:
            return submit(self._network, Job(task, on_end)), folder
        except HTTPException:
            folder.rmdir()
            raise

    def _give_up(self, job: Job, heat: Job | None, folder: Path) -> None:
        """Cancel jobs and remove their folder."""
        for open_job in (job, heat):
            if open_job is not None and open_job.is_open:
                open_job.on_end = lambda _: shutil.rmtree(folder, ignore_errors=True)
                self._network.cancel(open_job)
        shutil.rmtree(folder, ignore_errors=True)

    def _measure_rest(self, session: Session) -> None:
        """Queue the waveform of what no stem takes; it is a picture only, so a full queue leaves it out."""
        if session.rest is not None and session.rest.is_open:
            self._media.cancel(session.rest)
        session.rest = None
        stems = [{"sound": str(stem_file(stem))} for stem in session.finished_stems]
        if stems and session.key in self._sessions:
            with contextlib.suppress(QueueFullError):
                session.rest = self._media.submit(Job(session.task("rest", stems=stems)))


def submit(lane: Lane, job: Job) -> Job:
    """Queue a job; HTTPException 503 when too many wait."""
    try:
        return lane.submit(job)
    except QueueFullError as error:
        raise HTTPException(503, "Too much is waiting here; try again in a minute.") from error


def stem_file(stem: Stem) -> Path:
    """Return where the sound of a finished stem is."""
    return stem.folder / str(stem.job.result["file"])


def heat_file(stem: Stem) -> Path:
    """Return where the heat map of a stem is."""
    return stem.folder / "heat.json"


def job_entry(job: Job, lane: Lane) -> dict[str, Any]:
    """What the page is told of a job."""
    progress = {"share": job.share, "seconds_left": job.seconds_left(), "num_before": lane.num_before(job)}
    return {"state": job.state, **progress, "error": job.error, "result": job.result}


def _remove_files(folder: Path, key: str) -> None:
    """Remove the files of an export."""
    for path in folder.glob(f"{key}*"):
        path.unlink(missing_ok=True)
