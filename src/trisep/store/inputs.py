"""The list of inputs: the files of a folder, or stretches of files, that become clips; exclusions; duplicates.

It decodes nothing.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trisep.errors import ConfigError, MediaError, StoreError
from trisep.media import SIDECAR_SUFFIXES
from trisep.media.files import sha256_of
from trisep.media.records import read_json
from trisep.media.tables import read_rows, read_stretch
from trisep.store.layout import is_store


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file, or a stretch of one, that may become clips."""

    source: str
    """Path relative to the input folder, with forward slashes."""
    size_bytes: int
    """Size of the whole file."""
    start_seconds: float | None = None
    """Where the stretch begins; None means the whole file."""
    end_seconds: float | None = None
    """Where the stretch ends; None means the end of the file."""


def list_inputs(folder: Path, *, leave_out: Path) -> tuple[InputFile, ...]:
    """List all inputs below `folder`, sorted by relative path.

    Links are followed. Neither `leave_out` (the store) nor any other store is entered.

    Raises MediaError when the folder or one below it cannot be read, StoreError when it holds no input.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: {'is a file' if folder.exists() else 'no such folder'}; give a folder of videos")
    found = [
        InputFile(path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in _walk(folder, leave_out=leave_out.resolve())
        if path.suffix.lower() not in SIDECAR_SUFFIXES
    ]
    if not found:
        raise StoreError(f"{folder}: holds no video or sound file; give a folder of videos")
    return tuple(sorted(found, key=lambda file: file.source))


def read_clip_lists(folder: Path, lists: Sequence[Path]) -> tuple[InputFile, ...]:
    """Read the inputs that CSV lists name, in the lists' order.

    The columns are source (relative to `folder`), start_seconds and end_seconds; empty times mean the whole file.

    Raises MediaError when `folder` is not a folder, and StoreError when a list cannot be read, names a file that is not
    below `folder`, or names a stretch twice.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: {'is a file' if folder.exists() else 'no such folder'}; give a folder of videos")
    inputs = [_listed_input(folder, path, row) for path in lists for row in _list_rows(path)]
    seen: set[tuple[str, float | None]] = set()
    for file in inputs:
        if (file.source, file.start_seconds) in seen:
            raise StoreError(
                f"{lists[0]}: lists {file.source} from {file.start_seconds or 0:g} s twice; name each stretch once"
            )
        seen.add((file.source, file.start_seconds))
    if not inputs:
        raise StoreError(f"{lists[0]}: lists no clip; make the list with `trisep data status`")
    return tuple(inputs)


def _list_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV list by column; StoreError when it cannot be read or lacks a column."""
    try:
        return list(read_rows(path, ("source", "start_seconds", "end_seconds")))
    except MediaError as error:
        raise StoreError(f"{error}; a list of clips is made with `trisep data status`") from error


def _listed_input(folder: Path, path: Path, row: dict[str, str]) -> InputFile:
    """Parse one row of a list; StoreError when it does not name a file below `folder` with valid times."""
    source, start, end = row["source"] or "", row["start_seconds"] or "", row["end_seconds"] or ""
    if (
        not source
        or PurePosixPath(source).is_absolute()
        or ".." in PurePosixPath(source).parts
        or not (folder / source).is_file()
    ):
        raise StoreError(
            f"{path}: names {source!r}, which is no file below {folder}; give the folder that the list was made for"
        )
    try:
        start_seconds, end_seconds = read_stretch(start, end)
    except ValueError as error:
        raise StoreError(f"{path}: {source} {error}") from error
    begins = 0.0 if start_seconds is None and end_seconds is not None else start_seconds
    return InputFile(source, (folder / source).stat().st_size, begins, end_seconds)


def inputs_digest(files: tuple[InputFile, ...]) -> str:
    """Return the SHA-256 over relative paths, sizes and stretches.

    It changes when files are added or removed, or when their size changes.
    """
    stretches = [
        "" if file.start_seconds is None else f" {file.start_seconds!r} {file.end_seconds!r}" for file in files
    ]
    lines = "".join(
        f"{file.size_bytes}{stretch} {file.source}\n" for file, stretch in zip(files, stretches, strict=True)
    )
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def find_duplicates(folder: Path, files: tuple[InputFile, ...]) -> dict[str, str]:
    """Map each source whose content is that of an earlier source to that one. Only files of equal size are hashed.

    Inputs that are stretches are left out: two of the same content may be two stretches of one recording.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for file in files:
        if file.start_seconds is None:
            by_size[file.size_bytes].append(file.source)
    duplicates: dict[str, str] = {}
    for sources in by_size.values():
        first_of: dict[str, str] = {}
        for source in sources if len(sources) > 1 else ():
            try:
                first = first_of.setdefault(sha256_of(folder / source), source)
            except OSError:
                # A file that cannot be read is no duplicate; it is skipped later, with the system's reason.
                continue
            if first != source:
                duplicates[source] = first
    return duplicates


def read_exclusions(path: Path | None) -> frozenset[str]:
    """Read what must stay out of a store, SHA-256 sums or relative paths, from a JSON list or from lines.

    A line that begins with `#` is a comment; lines in the form of the sha256sum program are understood.

    Raises StoreError when the file cannot be read as such a list.
    """
    if path is None:
        return frozenset()
    try:
        if not path.is_file():
            raise OSError("no such file, or not a regular one")
        text = path.read_text(encoding="utf-8")
        is_json = text.lstrip().startswith("[")
        entries = read_json(path) if is_json else [line.strip() for line in text.splitlines()]
    except (OSError, ValueError, ConfigError) as error:
        raise StoreError(
            f"{path}: cannot be read as a list of files to exclude ({error}); give a JSON list or lines"
        ) from error
    if not all(isinstance(entry, str) for entry in entries):
        raise StoreError(
            f"{path}: the list of files to exclude holds more than strings; give SHA-256 sums or relative paths"
        )
    return frozenset(_without_sum_file_name(entry) for entry in entries if entry and not entry.startswith("#"))


def _without_sum_file_name(entry: str) -> str:
    """Return the hash of a line `HASH  NAME`, and any other line as it is."""
    head = entry.split(maxsplit=1)[0].lower()
    return head if len(head) == 64 and set(head) <= set("0123456789abcdef") else entry


def _walk(folder: Path, *, leave_out: Path) -> Iterator[Path]:
    """Yield every file below `folder` that is not hidden; each real folder is entered once, so circular links end."""

    def refuse(error: OSError) -> None:
        """Raise MediaError for a folder that cannot be read; this stops the walk."""
        raise MediaError(
            f"{error.filename}: the folder cannot be read ({error.strerror}); change its permissions or move it away"
        )

    seen = {folder.resolve()}
    for parent, folder_names, file_names in os.walk(folder, onerror=refuse, followlinks=True):
        kept = []
        for name in sorted(folder_names):
            real = Path(parent, name).resolve()
            if not name.startswith(".") and real not in seen and real != leave_out and not is_store(real):
                seen.add(real)
                kept.append(name)
        folder_names[:] = kept
        yield from (
            Path(parent, name) for name in file_names if not name.startswith(".") and Path(parent, name).is_file()
        )
