"""Pair lists as CSV files, one mixture a line, read and written lazily: a list of any length takes no memory.

    path_1 label_1 query_1 gain_db_1 start_1 start_seconds_1 end_seconds_1 picture_1 x_1 y_1 group_1
    the same for 2, 3 …, interference

Only path and label of each source are needed; an empty or absent cell takes its default. Paths are absolute or relative
to the folder that `trisep evaluate` is given; points (x, y) are shares of the picture's width and height. This file
knows no particular protocol.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from trisep.errors import MediaError
from trisep.media.files import replacing_text
from trisep.media.tables import read_number, read_rows, read_stretch
from trisep.protocols import ProtocolMixture, ProtocolSource
from trisep.types import Place

_FIELDS = ("path", "label", "query", "gain_db", "start", "start_seconds", "end_seconds", "picture", "x", "y", "group")
PAIR_COLUMNS = tuple(f"{field}_1" for field in _FIELDS)
"""The first columns of every list that is written here."""


def relative_to(path: Path, folder: Path) -> str:
    """Format a path for lists and tables: relative to the folder where it lies below it, with slashes."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def write_pairs(mixtures: Iterable[ProtocolMixture], file: Path, *, folder: Path) -> Iterator[ProtocolMixture]:
    """Yield the mixtures, all of as many sources, unchanged and write them.

    The file appears when the last one has passed.
    """
    coming = iter(mixtures)
    first = list(islice(coming, 1))
    numbers = range(1, 1 + max([2, *(len(mixture.sources) for mixture in first)]))
    with replacing_text(file) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([f"{field}_{number}" for number in numbers for field in _FIELDS] + ["interference"])
        for mixture in chain(first, coming):
            cells = [cell for source in mixture.sources for cell in _cells(source, folder)]
            writer.writerow([*cells, relative_to(mixture.interference, folder) if mixture.interference else ""])
            yield mixture


def read_pairs(file: Path, *, folder: Path) -> Iterator[ProtocolMixture]:
    """Yield the mixtures of a file, in its order; `MediaError` names the mixture that cannot be read."""
    for index, row in enumerate(read_rows(file, ("path_1", "label_1", "path_2", "label_2"))):
        numbers = [number for number in range(1, len(row)) if row.get(f"path_{number}")]
        try:
            sources = tuple(
                _source({field: row.get(f"{field}_{number}", "") for field in _FIELDS}, folder) for number in numbers
            )
        except ValueError as error:
            raise MediaError(f"{file}, mixture {index}: expected a number ({error}); fix the row") from error
        if len(sources) < 2:
            raise MediaError(f"{file}, mixture {index}: path_1 or path_2 is empty; a mixture needs two sources")
        interference = row.get("interference")
        yield ProtocolMixture(
            index=index, sources=sources, interference=folder / interference if interference else None
        )


def _cells(source: ProtocolSource, folder: Path) -> list[str]:
    return [
        relative_to(source.path, folder),
        source.label,
        source.query,
        repr(source.gain_db),
        repr(source.start),
        repr(source.start_seconds),
        "" if source.end_seconds is None else repr(source.end_seconds),
        relative_to(source.picture, folder) if source.picture else "",
        repr(source.place.x) if source.place else "",
        repr(source.place.y) if source.place else "",
        source.group,
    ]


def _source(cells: dict[str, str], folder: Path) -> ProtocolSource:
    start_seconds, end_seconds = read_stretch(cells["start_seconds"], cells["end_seconds"])
    x, y = (read_number(cells[name] or "0", low=0, high=1) for name in ("x", "y"))
    return ProtocolSource(
        path=folder / cells["path"],
        label=cells["label"],
        query=cells["query"],
        group=cells["group"],
        gain_db=read_number(cells["gain_db"] or "0", low=-200, high=200),
        start=read_number(cells["start"] or "0.5", low=0, high=1),
        start_seconds=start_seconds or 0.0,
        end_seconds=end_seconds,
        picture=folder / cells["picture"] if cells["picture"] else None,
        place=Place(x=x, y=y) if cells["x"] else None,
    )
