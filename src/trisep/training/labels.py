"""The labels of a store's clips, from files beside it: a store never holds any.

Two forms are read. The first is a CSV with the columns `path` and `label`, and optionally `start_seconds` and
`end_seconds` for stretches of recordings, `group`, `domain` and `wordings`. The second is the folder that `trisep data
status` wrote, or its labels.csv; a clip of several labels is then named "one and the other", as in evaluation.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from trisep.errors import ConfigError, MediaError
from trisep.media.tables import read_rows, read_stretch
from trisep.store.read import ClipStore

_LIST = ("key", "source", "start_seconds", "end_seconds")


class _Value(NamedTuple):
    """What a file says of a recording, or of a stretch of it."""

    text: str
    start_seconds: float
    end_seconds: float


def read_labels(path: Path, store: ClipStore) -> tuple[Int[np.ndarray, "clips"], tuple[str, ...]]:
    """Read the label of each clip of a store, as a number, and the labels' names, sorted.

    A clip's row is the one whose path is the clip's source or, where there is none, the one whose path ends with it
    after a slash; of rows with times, those in which the clip begins. Spaces around a label are none of it, and a row
    without a label counts for nothing. The numbers count all labels of the file, so that two stores read with one file
    agree. Raises MediaError for a file of neither form, ConfigError for clips without a label, or with several, and for
    times that are none.
    """
    names = tuple(sorted({row["label"].strip() for row in _rows(path, "label")} - {""}))
    numbers = {label: number for number, label in enumerate(names)}
    return np.array([numbers[label] for label in _column_by_clip(path, "label", store)]), names


def read_optional_column(path: Path, column: str, store: ClipStore) -> list[str]:
    """Read a column of the labels' file for each clip; empty strings without such a column."""
    is_there = any(column in row for row in islice(_rows(path, "label"), 1))
    return _column_by_clip(path, column, store) if is_there else [""] * len(store)


def _rows(path: Path, column: str) -> Iterator[dict[str, str]]:
    """Yield the rows of either form, with at least `path` and the column."""
    folder = path if path.is_dir() else path.parent
    first = {} if path.is_dir() else next(read_rows(path, ("label",)), {})
    if not path.is_dir() and ("path" in first or "key" not in first):
        yield from read_rows(path, ("path", column))
        return
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for row in read_rows(folder / "labels.csv", ("key", "label")):
        labels[row["key"]].append(row["label"])
    lists = [file for file in sorted(folder.glob("*.csv")) if file.name != "labels.csv"]
    if not lists:
        raise MediaError(f"{folder}: holds labels.csv, and no list of clips beside it; give what `trisep data` wrote")
    for file in lists:
        for row in read_rows(file, _LIST):
            yield {**row, "path": row["source"], "label": " and ".join(labels[row["key"]])}


def _stretch(path: Path, row: Mapping[str, str]) -> tuple[float, float]:
    """Return from when to when a row counts, in seconds; ConfigError for times that are none."""
    try:
        begin, last = read_stretch(row.get("start_seconds", ""), row.get("end_seconds", ""))
    except ValueError as error:
        raise ConfigError(f"{path}: {row['path']} {error}") from error
    return begin or 0.0, math.inf if last is None else last


def _column_by_clip(path: Path, column: str, store: ClipStore) -> list[str]:
    """Read the value that a file gives for each clip; ConfigError for clips without a value, or with several."""
    exact: defaultdict[str, set[_Value]] = defaultdict(set)
    ending: defaultdict[str, set[_Value]] = defaultdict(set)
    for row in _rows(path, column):
        value = _Value(row[column].strip(), *_stretch(path, row))
        if column == "label" and not value.text:
            continue
        exact[row["path"]].add(value)
        parts = row["path"].split("/")
        for first in range(1, len(parts)):
            ending["/".join(parts[first:])].add(value)
    found = []
    for entry in store.entries:
        known = exact.get(entry.source) or ending.get(entry.source) or set()
        begin = entry.start_seconds
        found.append({one.text for one in known if one.start_seconds - 1e-3 <= begin < one.end_seconds})
    unknown = [entry.source for entry, values in zip(store.entries, found, strict=True) if not values]
    if unknown:
        raise ConfigError(
            f"{path}: has no {column} for {len(unknown)} of {len(store)} clips of {store.path}, the first is "
            f"{unknown[0]}"
        )
    for entry, values in zip(store.entries, found, strict=True):
        if len(values) > 1:
            raise ConfigError(
                f"{path}: has several {column}s for the clip {entry.source}: {', '.join(sorted(values))}; give one "
                "row, by its whole path"
            )
    return [value for (value,) in found]
