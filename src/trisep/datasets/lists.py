"""The results of checking a data set: the report, and one list of usable clips for each split, with separate labels.

This file checks no clips.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trisep.datasets.clip_list import ListedClip
from trisep.datasets.status import STATES, ClipCheck, count_states
from trisep.errors import ConfigError
from trisep.media.files import replacing_text
from trisep.media.tables import is_other_table

LIST_COLUMNS = ("key", "source", "start_seconds", "end_seconds", "sha256")
"""Columns of SPLIT.csv, which `trisep prepare --clips` reads; empty times mean the whole file."""
LABEL_COLUMNS = ("key", "label", "split")
"""Columns of labels.csv: one row for each label of each usable clip."""


def status_report(name: str, clips: Sequence[ListedClip], checks: Sequence[ClipCheck]) -> dict[str, Any]:
    """Report counts by state, split and class, and every clip that is not usable with the reason, as JSON values."""
    counts = count_states(clips, checks)
    splits = sorted({clip.split for clip in clips})
    return {
        "schema": 1,
        "data_set": name,
        "listed": len(clips),
        "states": _by_state(counts.values()),
        "splits": {split: _by_state(counter for (of, _), counter in counts.items() if of == split) for split in splits},
        "classes": [
            {"split": split, "class": label, "listed": counter.total(), "states": _by_state([counter])}
            for (split, label), counter in counts.items()
        ],
        "defects": [
            {
                "key": clip.key,
                "split": clip.split,
                "labels": clip.labels,
                "source": check.source,
                "state": check.state,
                "detail": check.detail,
            }
            for clip, check in zip(clips, checks, strict=True)
            if check.state != "usable"
        ],
    }


def require_own(out: Path, splits: Iterable[str], *, checks: Path) -> None:
    """Raise ConfigError where a folder holds, in the place of a list, the report or the `checks` so far, a file that
    `data status` did not write. It is for the beginning, before any work.
    """
    tables = {out / f"{split}.csv": LIST_COLUMNS for split in splits} | {out / "labels.csv": LABEL_COLUMNS}
    foreign = [file for file, columns in tables.items() if is_other_table(file, columns)]
    foreign += [file for file, begins in ((out / "status.json", b"{"), (checks, b"\n")) if _is_other(file, begins)]
    if foreign:
        raise ConfigError(f"{foreign[0]}: is there already and no result of trisep data status; choose another --out")


def _is_other(file: Path, begins: bytes) -> bool:
    """Tell whether a file is there and none of ours: a report holds the name of its data set, checks begin with a line
    end.
    """
    if not file.is_file():
        return os.path.lexists(file)  # a pipe would be waited for
    try:
        with file.open("rb") as stream:
            found = stream.read(200)
    except OSError:
        return True
    return bool(found) and not (found.startswith(begins) and (begins == b"\n" or b'"data_set": ' in found))


def write_lists(out: Path, clips: Sequence[ListedClip], checks: Sequence[ClipCheck], report: dict[str, Any]) -> None:
    """Write SPLIT.csv for each split, labels.csv and status.json into an existing folder.

    Raises MediaError when it cannot be written.
    """
    usable = [(clip, check) for clip, check in zip(clips, checks, strict=True) if check.state == "usable"]
    for split in sorted({clip.split for clip in clips}):
        rows = [
            (clip.key, check.source, _seconds(check.start_seconds), _seconds(check.end_seconds), check.sha256)
            for clip, check in usable
            if clip.split == split
        ]
        _write_csv(out / f"{split}.csv", LIST_COLUMNS, rows)
    _write_csv(
        out / "labels.csv",
        LABEL_COLUMNS,
        [(clip.key, label, clip.split) for clip, _ in usable for label in clip.labels],
    )
    with replacing_text(out / "status.json") as file:
        file.write(json.dumps(report, indent=1) + "\n")


def _by_state(counters: Iterable[Counter[str]]) -> dict[str, int]:
    """Sum counters, all states in their order."""
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return {state: total[state] for state in STATES}


def _seconds(value: float | None) -> str:
    """Format a time as text that reads back the same; empty for none."""
    return "" if value is None else repr(value)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
