"""A batch that other processes do: what each of them is sent, and how its outcome comes back and outlives a kill.

A process loads the model once. Work and outcomes pass through files: every input has a note in `.batch/` of the output
folder, under a name made of the input and of everything that decides its outputs, so that a batch that was killed goes
on where it stopped. This file knows no cluster; it is given a function that runs work somewhere.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from trisep.checkpoints.registry import checkpoint_folder
from trisep.media.files import make_folder, sha256_of, write_json
from trisep.separation.batch import STDIN, outcome_of
from trisep.separation.options import OutputOptions, SeparationOptions
from trisep.separation.owner import REPORT
from trisep.separation.separator import Separator, load
from trisep.separation.source import standard_input
from trisep.separation.streaming import Progress
from trisep.types import Query

_NOTES = ".batch"
_separator = lru_cache(maxsize=1)(load)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeparationJob:
    """How every input of a batch is separated. It can be sent to other processes."""

    model: str
    """Name of a model, or the folder of a checkpoint."""
    device: str
    queries: tuple[Query, ...]
    options: SeparationOptions
    outputs: OutputOptions

    @property
    def separator(self) -> Separator:
        """The model, loaded once in a process."""
        return _separator(self.model, device=self.device, packed=True)

    def __call__(self, path: Path, folder: Path, progress: Progress) -> dict[str, Any]:
        """Separate one input into its folder and return its report."""
        if path != STDIN:
            return self._separate(path, folder, progress)
        section = {name: getattr(self.options, name) for name in ("stream", "start_seconds", "duration_seconds")}
        with standard_input(**section, allow_truncated=self.options.allow_truncated) as source:
            return self._separate(source, folder, progress)

    def _separate(self, source: Any, folder: Path, progress: Progress) -> dict[str, Any]:
        """Separate a file or what stands for one."""
        return self.separator.separate_to_files(
            source, self.queries, folder, self.options, self.outputs, progress=progress
        )

    def key(self) -> str:
        """Name everything that decides the outputs, by a hash."""
        weights = sha256_of(checkpoint_folder(self.model) / "model.safetensors")
        return _digest([weights, self.queries, self.options, self.outputs])


@dataclass(frozen=True, slots=True)
class _Item:
    """One input, for another process."""

    working_folder: Path
    """That of the batch: with it, relative paths mean the same elsewhere."""
    file: Path
    folder: Path
    note: Path
    """Where the outcome is noted."""

    def outcome(self) -> dict[str, Any] | str | None:
        """Return the report or the error that is noted; None where there is no note."""
        try:
            note = json.loads(self.note.read_bytes())
            return note["report"] or str(note["error"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def is_done(self) -> bool:
        """Whether an earlier run separated it."""
        return isinstance(self.outcome(), dict) and (self.folder / REPORT).is_file()


Run = Callable[[Sequence[_Item], Callable[[_Item], object]], Iterator[_Item]]
"""Does the work of every item somewhere, and yields the items in order as they are done."""


def outcomes_elsewhere(
    pairs: Sequence[tuple[Path, Path]], *, job: SeparationJob, run: Run
) -> Iterator[dict[str, Any] | str]:
    """Yield for each (input, its output folder) the report, or on one line what failed, as `separate_batch` reads them.

    What an earlier run that was killed has done is not done again. Raises what `run` raises, and MediaError where the
    output folder cannot be written.
    """
    out = pairs[0][1].parent
    notes, key = out / _NOTES, job.key()
    make_folder(notes)
    items = [_Item(Path.cwd(), file, folder, notes / f"{_note_name(key, file)}.json") for file, folder in pairs]
    waiting = [item for item in items if not item.is_done]
    done = run(waiting, partial(_work, job))
    for item in items:
        if item in waiting:
            next(done)
        yield item.outcome() or f"{item.file}: its process left no outcome; run the batch again"
    shutil.rmtree(notes, ignore_errors=True)
    with suppress(OSError):
        out.rmdir()  # of a batch in which nothing worked, nothing is left


def _work(job: SeparationJob, item: _Item) -> None:
    """Separate one input and note the outcome, in whatever process this is."""
    os.chdir(item.working_folder)
    outcome = outcome_of(job, item.file, item.folder, lambda share: None)
    is_report = isinstance(outcome, dict)
    write_json(item.note, {"report": outcome if is_report else None, "error": None if is_report else outcome})


def _note_name(key: str, file: Path) -> str:
    """Name an input as it is now, for a job."""
    try:
        status = file.stat()
        facts = [status.st_size, status.st_mtime_ns]
    except OSError:
        facts = []
    return _digest([key, str(file), facts])[:32]


def _digest(value: Any) -> str:
    """Hash plain values, dataclasses, paths and arrays by their content."""
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a value; arrays become hashes."""
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
