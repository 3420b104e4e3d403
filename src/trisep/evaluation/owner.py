"""Whose the files of an output folder are: a result is known by the table of its columns, or by its summary.

An evaluation that finished is known by its settings, and not made again. What stands in the place of a result and is
none is never replaced. This file writes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from trisep.errors import ConfigError
from trisep.evaluation.journal import COLUMNS
from trisep.evaluation.pairs import PAIRS
from trisep.evaluation.table import environment
from trisep.media.records import checked, read_json
from trisep.media.tables import is_other_table
from trisep.protocols.pair_files import PAIR_COLUMNS


def require_own(folder: Path, name: str, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError where a folder holds the finished scores of another model, protocol or list of clips, or in the
    place of a result a file that is none.
    """
    summary = folder / f"{name}.json"
    if not summary.is_file():
        tables = {folder / f"{name}.csv": COLUMNS, folder / PAIRS: PAIR_COLUMNS}
        _require_none_foreign(tables, (summary, folder / f"{name}.md"), verb="evaluate")
        return
    try:
        known = dict(read_json(summary))
    except (ConfigError, ValueError, TypeError):
        known = {}
    for key in ("protocol", "checkpoint", "data"):
        if known.get(key) != settings[key]:
            raise ConfigError(
                f"{folder}: holds scores of {key} {known.get(key)}, now it is {settings[key]}; choose another --out, "
                "or remove them"
            )


def finished(folder: Path, name: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the summary of an earlier run that would be repeated: it finished with the same settings (the model's
    weights and the lists by their hashes) and the same versions of all packages.

    None where there is no such run, where its table is gone or was begun anew, and where the running code differs from
    its last commit, which nothing tells from how it differed before.
    """
    summary, table = folder / f"{name}.json", folder / f"{name}.csv"
    if not (summary.is_file() and table.is_file()) or (folder / f"{name}.partial.csv").exists():
        return None
    try:
        known: dict[str, Any] = checked(dict[str, Any], read_json(summary), "the summary")
        beside = ("table", "num_mixtures", "not_understood", "environment", "levels", "wall_seconds")
        told = {key: known.pop(key) for key in beside}
        before, now = told["environment"], environment(None)
        is_same = all(before[key] == now[key] for key in ("git_revision", "versions"))
    except (ConfigError, ValueError, TypeError, KeyError):
        return None
    return told if is_same and not now["git_revision"].endswith("+") and known == dict(settings) else None


def require_own_report(
    folder: Path, name: str, columns: Sequence[str], *, verb: str, beside: Collection[str] = (), has_pairs: bool = False
) -> None:
    """Raise ConfigError where NAME.csv of a folder is no table of an earlier run, or what belongs beside one is there
    without it. It is for the beginning of a command, before any work.

    Args:
        folder: the output folder; it may not exist.
        name: the name of the table, of its page (.md) and of its picture (.png).
        columns: with which the table begins.
        verb: the command that writes it.
        beside: the names of further files, which are written after the table.
        has_pairs: whether the list of mixtures is written, before the table.
    """
    table = folder / f"{name}.csv"
    others = () if table.is_file() else (f"{name}.md", f"{name}.png", *beside)
    tables: dict[Path, Sequence[str]] = {table: columns} | ({folder / PAIRS: PAIR_COLUMNS} if has_pairs else {})
    _require_none_foreign(tables, [folder / other for other in others], verb=verb)


def _require_none_foreign(tables: Mapping[Path, Sequence[str]], others: Collection[Path], *, verb: str) -> None:
    """Raise ConfigError for a table with other columns than it should have, and for any of the other files."""
    foreign = [file for file, columns in tables.items() if is_other_table(file, columns)]
    foreign += [file for file in others if file.exists()]
    if foreign:
        raise ConfigError(f"{foreign[0]}: is there already and no result of trisep {verb}; choose another --out")
