"""The table of an evaluation while it is being written, mixture by mixture, so that a run that was killed continues.

An unfinished table is `NAME.partial.csv`, and `NAME.partial.json` holds the settings it is made with. It becomes
`NAME.csv` when all rows are written. A mixture that a kill cut off in the middle is dropped and scored again, which
gives the same bytes. This module computes no score.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from trisep.errors import ConfigError
from trisep.evaluation.mixtures import SourceRow
from trisep.media.files import move_into_place, write_failure, write_json
from trisep.media.records import checked, read_json
from trisep.metrics import Scores

COLUMNS = (
    *(entry.name for entry in fields(SourceRow) if entry.name != "scores"),
    *(entry.name for entry in fields(Scores)),
)


class Journal:
    """A table that is being written: a context manager with `write` for each mixture and `finish` at the end.

    Args:
        folder: the table's folder, which is made if it is absent.
        name: the table's name, without suffix.
        settings: JSON values that the rows depend on; an unfinished table with other settings is not continued.
        rows_per_mixture: how many rows make a mixture complete.

    Raises:
        MediaError: the folder cannot be written.
        ConfigError: the folder holds an unfinished table with other settings.
    """

    def __init__(self, folder: Path, name: str, *, settings: Mapping[str, Any], rows_per_mixture: int) -> None:
        """Find out how far an earlier run came; `num_done` is the number of mixtures that are complete."""
        self.path = folder / f"{name}.csv"
        self._partial, self._settings_file = folder / f"{name}.partial.csv", folder / f"{name}.partial.json"
        self._rows_per_mixture = rows_per_mixture
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._settings_file.touch()
            self._file: BinaryIO = self._partial.open("a+b")
            self.num_done = self._keep_whole_mixtures()
            known = self._known_settings()
            if self.num_done and known != dict(settings):
                self._file.close()
                raise ConfigError(
                    f"{self._partial}: is unfinished, with other settings ({_difference(known, settings)}); finish "
                    "that evaluation or remove the file"
                )
            write_json(self._settings_file, settings)
        except (OSError, ValueError) as error:
            raise write_failure(self._partial, error) from error

    def _known_settings(self) -> dict[str, Any]:
        """Read the settings of the unfinished table; none where the file is new."""
        if self._settings_file.stat().st_size == 0:
            return {}
        return dict(checked(Mapping[str, Any], read_json(self._settings_file), "the settings"))

    def __enter__(self) -> "Journal":
        """Return the journal, which is open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep an unfinished table for the next run, unless it is empty."""
        self._file.close()
        if kind is not None and not self._num_rows:
            self._partial.unlink(missing_ok=True)
            self._settings_file.unlink(missing_ok=True)

    def write(self, rows: Sequence[SourceRow]) -> None:
        """Append all rows of the next mixture."""
        if len(rows) != self._rows_per_mixture:
            raise ValueError(f"rows: expected {self._rows_per_mixture}, all of one mixture, got {len(rows)}")
        self._append(b"".join(_line(row_cells(row)) for row in rows))
        self._num_rows += len(rows)

    def finish(self) -> Path:
        """Give the finished table its name, and return its path."""
        self._file.close()
        try:
            move_into_place(self._partial, self.path)
            self._settings_file.unlink(missing_ok=True)
        except OSError as error:
            raise write_failure(self.path, error) from error
        return self.path

    def _append(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise write_failure(self._partial, error) from error

    def _keep_whole_mixtures(self) -> int:
        """Cut off an incomplete mixture, or begin a new table; return the number of mixtures that the table holds."""
        header = _line(COLUMNS)
        self._num_rows = 0
        self._file.seek(0)
        if self._file.readline() != header:
            self._file.truncate(0)
            self._append(header)
            return 0
        num_rows, position, end = 0, len(header), len(header)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            position += len(line)
            num_rows += 1
            if num_rows % self._rows_per_mixture == 0:
                end = position
        self._file.truncate(end)
        num_done = num_rows // self._rows_per_mixture
        self._num_rows = num_done * self._rows_per_mixture
        return num_done


def row_cells(row: SourceRow) -> list[str]:
    """Return a row as the table shows it, by `COLUMNS`.

    Numbers have six digits after the point; the scores are empty where the row has none.
    """
    values = [getattr(row, entry.name) for entry in fields(row) if entry.name != "scores"]
    scores = [getattr(row.scores, entry.name) if row.scores else "" for entry in fields(Scores)]
    return [
        f"{value:.6f}" if isinstance(value, float) else " ".join(str(value).splitlines())
        for value in (*values, *scores)
    ]


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8")


def _difference(known: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Name the first setting that differs."""
    for key in (*settings, *known):
        if known.get(key) != settings.get(key):
            return f"{key} {known.get(key)}, now {settings.get(key)}"
    return "none"
