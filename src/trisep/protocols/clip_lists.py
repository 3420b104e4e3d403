"""Lists of clips that protocols draw from, in one of two forms:

a CSV with the columns path, split, label (and, for stretches of recordings, start_seconds, end_seconds), or a folder
that holds it as
    manifest.csv; paths are absolute or relative to that folder
a folder that `trisep data` wrote: SPLIT.csv for each split, with key, source and times, and labels.csv with key, label
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from trisep.errors import MediaError
from trisep.media.tables import read_rows
from trisep.protocols import ProtocolSource


def list_folder(data: Path) -> Path:
    """The folder that relative paths of `data`, a list or a folder, start from."""
    return data if data.is_dir() else data.parent


def read_clips(data: Path, splits: Collection[str], *, group_by_split: bool = False) -> list[ProtocolSource]:
    """The clips of some splits, in the list's order; a clip of several labels is called "one and the other".

    Args:
        data: the list.
        splits: which to take.
        group_by_split: report the sources of each split apart.

    Raises:
        MediaError: no list, not a list, or no clip of those splits in it.
    """
    clips = _data_set(data, splits) if (data / "labels.csv").is_file() else _one_list(data)
    folder = list_folder(data)
    sources = [
        ProtocolSource(
            path=folder / path,
            label=label,
            group=split if group_by_split else "",
            start_seconds=float(start or 0),
            end_seconds=float(end) if end else None,
        )
        for path, split, label, start, end in clips
        if split in splits
    ]
    if not sources:
        wanted = " or ".join(sorted(splits)) if len(splits) < 6 else "a fold (fold1 to fold5)"
        raise MediaError(f"{data}: lists no clip of the split {wanted}; give the list that the protocol is for")
    return sources


def require_two_labels(sources: Collection[ProtocolSource], data: Path) -> None:
    """`MediaError` where pairs of different labels cannot be drawn, as a rule that looks for them would never end."""
    if len({source.label for source in sources}) < 2:
        raise MediaError(f"{data}: the protocol pairs clips of different labels, and the list has fewer than two")


def _one_list(data: Path) -> Iterator[tuple[str, str, str, str, str]]:
    file = data / "manifest.csv" if data.is_dir() else data
    if not file.is_file():
        raise MediaError(
            f"{data}: holds no manifest.csv; give a folder that does, or a CSV with the columns path, split, label"
        )
    for row in read_rows(file, ("path", "split", "label")):
        yield row["path"], row["split"], row["label"], row.get("start_seconds", ""), row.get("end_seconds", "")


def _data_set(folder: Path, splits: Collection[str]) -> Iterator[tuple[str, str, str, str, str]]:
    """What `trisep data` left in a folder."""
    labels: dict[str, list[str]] = defaultdict(list)
    for row in read_rows(folder / "labels.csv", ("key", "label")):
        labels[row["key"]].append(row["label"])
    for split in sorted(splits):
        if (folder / f"{split}.csv").is_file():
            for row in read_rows(folder / f"{split}.csv", ("key", "source", "start_seconds", "end_seconds")):
                yield row["source"], split, " and ".join(labels[row["key"]]), row["start_seconds"], row["end_seconds"]
