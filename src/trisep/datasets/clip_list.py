"""The clips that a data set lists, by name, stretch, labels and split; and the reading of published text files.

Ids come from files that others wrote, and end up in file names and command lines: a value that is not an id is refused
here. This file knows no particular data set.
"""

import csv
import errno
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trisep.errors import ConfigError
from trisep.media.records import parse_json

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedClip:
    """One clip as the metadata name it, whether or not its file exists."""

    key: str
    """Name of the clip: the id of the media, with the start of the stretch where the data set cuts stretches."""
    media_id: str
    """Name, without suffix, of a file that holds the whole recording or just the stretch."""
    cut_names: tuple[str, ...] = ()
    """Names, without suffix, under which people keep the stretch alone; they are searched before `media_id`."""
    source: str | None = None
    """Path relative to the media folder, where the listing gives it."""
    start_seconds: float | None = None
    """Where the stretch begins in the recording; None means all of it."""
    end_seconds: float | None = None
    labels: tuple[str, ...] = ()
    """Classes, tidied: lower case, words apart. For evaluation only."""
    split: str = "train"

    @property
    def listed_seconds(self) -> float | None:
        """Length of the stretch; None for a whole recording."""
        return None if self.start_seconds is None or self.end_seconds is None else self.end_seconds - self.start_seconds


def read_text(path: Path) -> str:
    """Read a metadata file; ConfigError when it cannot be read as text."""
    try:
        if not path.is_file():
            raise OSError(errno.ENOENT, "no such file, or not a regular one")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{path}: cannot be read as metadata ({reason}); give the file as published") from error


def read_json(path: Path) -> Any:
    """Read the value of a JSON file; ConfigError when it is not JSON."""
    try:
        return parse_json(read_text(path))
    except ValueError as error:
        raise ConfigError(
            f"{path}: expected JSON, but it is not ({error}); give the .json file as published"
        ) from error


def read_rows(path: Path, *, num_columns: int, form: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of a CSV file without comments and empty lines, each with its place for error messages.

    A place is written "FILE, line 3". ConfigError, showing the `form` that was expected, for a row of
    another number of columns.
    """
    reader = csv.reader(read_text(path).splitlines(), skipinitialspace=True)
    try:
        for row in reader:
            if not row or row[0].startswith("#"):
                continue
            place = f"{path}, line {reader.line_num}"
            if len(row) != num_columns:
                raise ConfigError(
                    f"{place}: expected {num_columns} columns ({form}), got {len(row)}; give the file as published"
                )
            yield place, row
    except csv.Error as error:
        raise ConfigError(
            f"{path}, line {reader.line_num}: cannot be read as CSV ({error}); give the file as published"
        ) from error


def require_files(metadata: Sequence[Path], expected: str) -> None:
    """Raise ConfigError when no metadata file was given."""
    if not metadata:
        raise ConfigError(f"--metadata is missing: give {expected}")


def require_youtube_id(value: Any, place: object) -> str:
    """Return `value`, if it is the id of a YouTube video; ConfigError otherwise."""
    if not isinstance(value, str) or not _YOUTUBE_ID.fullmatch(value):
        raise ConfigError(
            f"{place}: expected the id of a video (11 letters, digits, - or _), got {value!r}; give the file as "
            "published"
        )
    return value


def require_number(value: str, place: str) -> float:
    """Read a time in seconds, not negative; ConfigError otherwise."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < 1e6:
        raise ConfigError(f"{place}: expected a time in seconds, got {value!r}; give the file as published")
    return seconds


def tidy_label(label: str) -> str:
    """Write a class as words: "acoustic_guitar" → "acoustic guitar", "DoubleBass" → "double bass"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label.replace("_", " "))
    return " ".join(apart.lower().split())


def hash_rank(media_id: str) -> str:
    """Return a value to sort ids by: the order is the same everywhere and independent of the ids' own order."""
    return hashlib.sha256(media_id.encode("utf-8")).hexdigest()
