"""CSV tables that users give: they are read row by row, and a bad one is refused in one line.

This file does not know what the columns mean.
"""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from trisep.errors import MediaError


def read_rows(file: Path, columns: Collection[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file one by one; `MediaError` when it is not a CSV file or lacks a column."""
    if not file.is_file():
        what = "is not a regular file; save it to disk first" if file.exists() else "no such file; check the name"
        raise MediaError(f"{file}: {what}")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise MediaError(
                    f"{file}: lacks the column {', '.join(sorted(missing))}; expected at least "
                    f"{', '.join(sorted(columns))}"
                )
            for row in reader:
                if None in row or None in row.values():
                    raise MediaError(
                        f"{file}, line {reader.line_num}: expected {len(reader.fieldnames or ())} columns; fix the row"
                    )
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise MediaError(
            f"{file}: cannot be read as CSV ({error}); expected the columns {', '.join(sorted(columns))}"
        ) from error
    except OSError as error:
        raise MediaError(f"{file}: cannot be read ({error.strerror}); check the name") from error
