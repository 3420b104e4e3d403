"""Whose an output folder is: it belongs to the input of the report.json in it, and holds the files that it lists.

A second run on the same input replaces the files of the first, all of them, so that a folder never mixes the stems of
two runs. Results of another input, and files that no report lists, the input among them, are never replaced.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trisep.errors import ConfigError, MediaError
from trisep.media.records import read_json

REPORT = "report.json"
_FROM_HERE = "input_from_here"
"""The entry of a report that leads from its folder to the input. A name as it was given, such as clip.mp4, is that of
another file for who is in another folder.
"""
INPUT_SHA256 = "input_sha256"
"""The entry of a report by which a sound in memory is known again, which has no name."""


def report_files(report: Mapping[str, Any]) -> list[str]:
    """List the files that a report speaks of, itself left out."""
    videos = report.get("videos") or {}
    files = [stem["file"] for stem in report["stems"]]
    files += [report[name] for name in ("residual", "without") if report.get(name)]
    return [*files, *videos.get("files", {}).values()]


def from_here(folder: Path, source: Path | None, title: str | None = None) -> dict[str, str]:
    """Return what a report says of where the input lies; nothing of a sound in memory, or of one with a title."""
    if source is None or title is not None:
        return {}
    place, here = os.path.realpath(source), os.path.realpath(folder)
    try:
        return {_FROM_HERE: Path(os.path.relpath(place, here)).as_posix()}
    except ValueError:  # another drive
        return {_FROM_HERE: place}


def earlier_files(
    folder: Path, names: Iterable[str], source: Path | None, *, sha256: str | None = None, replaces: bool = False
) -> list[str]:
    """Return the files of an earlier run on the same input in a folder, which a new run replaces.

    Args:
        folder: where stems are to be written; it may not exist.
        names: the names of the files to be written.
        source: the input, None for a sound in memory.
        sha256: the hash of a sound in memory.
        replaces: whether those of another input are replaced, too.

    Raises:
        MediaError: the folder holds the results of another input, a report of another program, or a file that would be
            replaced and is not listed.
    """
    place = folder / REPORT
    earlier: list[str] = []
    if place.exists() and not place.is_dir():
        try:
            report = read_json(place)
            owner = report["input"]
            # A report that claims the input itself does not make it a result.
            earlier = [
                name for file in report_files(report) if not _is_same(folder / (name := Path(file).name), source)
            ]
        except (ConfigError, ValueError, TypeError, KeyError, AttributeError):
            raise MediaError(f"{place}: is not a report of trisep; choose another output folder") from None
        here = report.get(_FROM_HERE)
        # The way leads on where folder and input were moved together; a name alone may be that of another file.
        is_owner = _is_same(folder / here, source) if isinstance(here, str) else _is_same(owner, source)
        if owner is None and source is None:
            is_owner = report.get(INPUT_SHA256) == sha256
        if not replaces and not is_owner and not (owner and os.path.isabs(owner) and _is_same(owner, source)):
            name = os.path.realpath(folder / here) if isinstance(here, str) and str(owner) == str(source) else owner
            others = f"{'another' if source is None else 'a'} sound in memory" if name is None else name
            asked = ", or replace them with OutputOptions(replaces=True)" if source is None else ""
            raise MediaError(f"{folder}: holds the stems of {others}; choose another output folder{asked}")
    for name in names:
        path = folder / name
        if os.path.lexists(path) and not path.is_dir() and name not in earlier:  # a link that leads nowhere, too
            raise MediaError(f"{path}: is there already and no earlier result; choose another output folder")
    return earlier


def _is_same(owner: Any, source: Path | None) -> bool:
    """Tell whether the input that a report names is the one to be separated."""
    if owner is None or source is None:
        return owner is None and source is None
    try:
        return Path(owner).samefile(source)
    except (OSError, ValueError, TypeError):
        return str(owner) == str(source)
