"""Lists of clips from which protocols draw, in one of two forms. This file knows no particular protocol.

The first form is a CSV with the columns path, split, label (and optionally start_seconds and end_seconds for stretches
of recordings, query, and recording_id), or a folder that holds it as manifest.csv. Paths are absolute or relative to
that folder. The second form is a folder that `trisep data` wrote: SPLIT.csv for each split, with key, source and times,
and labels.csv with key, label.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from trisep.errors import MediaError
from trisep.media.tables import read_rows, read_stretch
from trisep.protocols import ProtocolSource

Half = Literal["choosing", "test"]
Parts = Literal["all", "one", "several"]


class _Row(NamedTuple):
    path: str
    split: str
    label: str
    start: str
    end: str
    query: str = ""
    recording: str = ""
    num_labels: int | None = None


def list_folder(data: Path) -> Path:
    """Return the folder from which the relative paths of `data`, a list or a folder, start."""
    return data if data.is_dir() else data.parent


def read_clips(
    data: Path,
    splits: Collection[str],
    *,
    group_by_split: bool = False,
    group: str = "",
    half: Half | None = None,
    parts: Parts = "all",
) -> list[ProtocolSource]:
    """Read the clips of some splits, in the order of the list; a clip of several labels is named "one and the other".

    Args:
        data: the list.
        splits: names of the splits.
        group_by_split: report the sources of each split apart.
        group: name of the group of all clips otherwise.
        half: take the clips of one half only. Clips of one recording (the column recording_id, otherwise the path) are
            in one half, which the hash of the recording's name decides.
        parts: take the clips of one label only (solos), or those of several (duets), from what `trisep data` wrote; a
            list in one file is taken as it is.

    Raises:
        MediaError: no list, not a list, a stretch that is none, a clip without a label, or no clip of those splits in
            it.
    """
    clips = _data_set(data, splits) if (data / "labels.csv").is_file() else _one_list(data)
    folder = list_folder(data)
    sources = []
    for path, split, label, start, end, query, recording, number in clips:
        if split not in splits or half not in (None, half_of(recording or path)) or not _is_wanted(number, parts):
            continue
        if not label:
            raise MediaError(f"{data}: {path} of the split {split} has no label; fill it in, or leave the row out")
        start_seconds, end_seconds = _stretch(data, path, start, end)
        sources.append(
            ProtocolSource(
                path=folder / path,
                label=label,
                query=query if query != label else "",
                group=split if group_by_split else group,
                start_seconds=start_seconds or 0.0,
                end_seconds=end_seconds,
            )
        )
    if not sources:
        wanted = " or ".join(sorted(splits)) if len(splits) < 6 else "a fold (fold1 to fold5)"
        raise MediaError(f"{data}: lists no clip of the split {wanted}; give the list that the protocol is for")
    return sources


def _stretch(data: Path, path: str, start: str, end: str) -> tuple[float | None, float | None]:
    """Read the times of a row; MediaError for what is no stretch."""
    try:
        return read_stretch(start, end)
    except ValueError as error:
        raise MediaError(f"{data}: {path} {error}") from error


def _is_wanted(num_labels: int | None, parts: Parts) -> bool:
    """Return whether a clip of so many labels is one that a protocol takes; None: nobody counted them."""
    return parts == "all" or num_labels is None or (num_labels > 1) == (parts == "several")


def half_of(recording: str) -> Half:
    """Return the half of a set that the clips of a recording are in; models are chosen on the half "choosing"."""
    return "choosing" if hashlib.sha256(recording.encode("utf-8", "surrogateescape")).digest()[0] % 2 else "test"


def require_two_labels(sources: Collection[ProtocolSource], data: Path) -> None:
    """Raise `MediaError` where pairs of different labels cannot be drawn, since the search for one would never end."""
    if len({source.label for source in sources}) < 2:
        raise MediaError(f"{data}: the protocol pairs clips of different labels, and the list has fewer than two")


def _one_list(data: Path) -> Iterator[_Row]:
    file = data / "manifest.csv" if data.is_dir() else data
    if not data.exists():
        raise MediaError(f"{data}: no such file or folder; give a folder with manifest.csv, or a list of clips (CSV)")
    if not file.is_file():
        raise MediaError(
            f"{data}: holds no manifest.csv; give a folder that does, or a CSV with the columns path, split, label"
        )
    for row in read_rows(file, ("path", "split", "label")):
        rest = [row.get(name, "") for name in ("start_seconds", "end_seconds", "query", "recording_id")]
        start, end, query, recording = rest
        yield _Row(row["path"], row["split"].strip(), row["label"].strip(), start, end, query.strip(), recording)


def _data_set(folder: Path, splits: Collection[str]) -> Iterator[_Row]:
    """Read the lists that `trisep data` wrote to a folder."""
    labels: dict[str, list[str]] = defaultdict(list)
    for row in read_rows(folder / "labels.csv", ("key", "label")):
        labels[row["key"]].append(row["label"])
    for split in sorted(splits):
        if (folder / f"{split}.csv").is_file():
            for row in read_rows(folder / f"{split}.csv", ("key", "source", "start_seconds", "end_seconds")):
                label = " and ".join(labels[row["key"]])
                times = row["start_seconds"], row["end_seconds"]
                yield _Row(row["source"], split, label, *times, num_labels=len(labels[row["key"]]))
