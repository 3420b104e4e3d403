"""The key of a listening test: which system made the clip behind each opaque name, and for which target sound.

Raters never see the key.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from trisep.errors import ConfigError
from trisep.media.files import replacing_text

BOTH, NONE = "both", "none"
"""The answers that are not the name of a sound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRow:
    """The facts about one clip of the test."""

    sample: str
    """Opaque name of the clip."""
    model: str
    query_kind: str
    """The kind of the model's query, image or text; or mixture for a mixture as it is."""
    label_a: str
    """Name of the target sound."""
    label_b: str
    """Name of the other sound."""
    file: str
    """Where the clip came from."""

    @property
    def system(self) -> tuple[str, str]:
        """The row of the table that the clip counts in."""
        return self.model, self.query_kind


def write_key(path: Path, rows: Iterable[KeyRow]) -> None:
    """Write one line per clip; MediaError when the file cannot be written."""
    with replacing_text(path) as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(KeyRow))
        writer.writerows(map(astuple, rows))


def read_key(path: Path) -> dict[str, KeyRow]:
    """Read the key by sample, in the file's order; ConfigError names what it lacks, or a sample that is in it twice."""
    names = [field.name for field in fields(KeyRow)]
    key: dict[str, KeyRow] = {}
    for row in read_table(path, names):
        if row["sample"] in key:
            raise ConfigError(
                f"{path}: holds the sample {row['sample']} twice; use the key.csv as it was made with the page"
            )
        key[row["sample"]] = KeyRow(**{name: row[name] for name in names})
    return key


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file that has at least these columns and one line; ConfigError says what it lacks."""
    if not path.is_file():
        raise ConfigError(f"{path}: is not a file; expected a table with the columns {', '.join(columns)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    if missing:
        raise ConfigError(f"{path}: lacks the column {', '.join(missing)}; expected {', '.join(columns)}")
    if not rows:
        raise ConfigError(f"{path}: holds no line below its header")
    for number, row in enumerate(rows, start=2):
        if any(row[name] is None for name in columns):
            raise ConfigError(f"{path}: line {number} has fewer values than the header has columns")
    return rows
