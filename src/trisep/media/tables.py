"""CSV tables that users give: they are read row by row, and a bad one is refused in one line.

This file does not know what the columns mean.
"""

import csv
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from trisep.errors import MediaError
from trisep.media.bounds import LATEST_SECONDS

_SHOWN = 80
"""How much of a first line that is none is shown, in characters."""


def read_rows(file: Path, columns: Collection[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file one by one; `MediaError` when it is none, lacks a column or has one twice."""
    if not file.is_file():
        what = "is not a regular file; save it to disk first" if file.exists() else "no such file; check the name"
        raise MediaError(f"{file}: {what}")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            _require_columns(file, reader.fieldnames or (), columns)
            for row in reader:
                if None in row or None in row.values():
                    raise MediaError(
                        f"{file}, line {reader.line_num}: expected {len(reader.fieldnames or ())} columns; fix the row"
                    )
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise MediaError(
            f"{file}: cannot be read as CSV ({error}); expected the columns {', '.join(sorted(columns))}, separated by "
            "commas, in UTF-8: save it so"
        ) from error
    except OSError as error:
        raise MediaError(f"{file}: cannot be read ({error.strerror}); check the name") from error


def _require_columns(file: Path, names: Sequence[str], columns: Collection[str]) -> None:
    """Raise MediaError for the first line of a table that lacks a column, or that names one twice."""
    missing = set(columns) - set(names)
    if missing:
        beside = f" beside {', '.join(sorted(there))}" if (there := set(columns) - missing) else ""
        plural = "s" if len(missing) > 1 else ""
        raise MediaError(
            f"{file}: lacks the column{plural} {', '.join(sorted(missing))}{beside}; expected them, separated by "
            f"commas, in the first line, got {','.join(names)[:_SHOWN]!r}"
        )
    twice = [name for name, number in Counter(names).items() if name and number > 1]
    if twice:
        raise MediaError(f"{file}: names the column {', '.join(twice)} twice; rename or remove one")


def is_other_table(file: Path, columns: Sequence[str]) -> bool:
    """Tell whether a file is there and no table whose columns begin with these."""
    if not file.is_file():
        return os.path.lexists(file)  # a pipe would be waited for
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            found = next(csv.reader([stream.readline(10_000)]), [])
    except (OSError, ValueError, csv.Error):
        return True
    return found[: len(columns)] != list(columns)


def read_number(cell: str, *, low: float, high: float) -> float:
    """Read a number of a table; ValueError for what is none or outside `low` to `high`, such as a NaN."""
    number = float(cell)
    if not low <= number <= high:
        raise ValueError(f"expected {low:g} to {high:g}, got {cell}")
    return number


def read_stretch(start: str, end: str) -> tuple[float | None, float | None]:
    """Read where a stretch of a recording begins and ends, in seconds; None for an empty cell.

    ValueError, which says what came and what is expected, for what are no times or not in order.
    """
    try:
        begin = read_number(start, low=0.0, high=LATEST_SECONDS) if start else None
        last = read_number(end, low=0.0, high=LATEST_SECONDS) if end else None
        is_right = (begin or 0.0) < (LATEST_SECONDS if last is None else last)
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(f"from {start!r} to {end!r} is no stretch; give seconds, the start first")
    return begin, last
