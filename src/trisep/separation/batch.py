"""Several inputs in one command: their files and folders, what happens to a bad file, the progress bar, and
what a person is told of the results.

This module reads no sound.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.cells import cell_len, set_cell_size

from trisep.errors import ConfigError, MediaError, TrisepError, shown
from trisep.media import IMAGE_SUFFIXES, MEDIA_SUFFIXES, SIDECAR_SUFFIXES
from trisep.media.files import write_json
from trisep.media.lock import locked
from trisep.media.probe import is_media
from trisep.media.records import read_json
from trisep.queries.embed import unused_name
from trisep.separation.owner import REPORT
from trisep.separation.stems import SCHEMA, OutputError
from trisep.separation.streaming import USUAL_NOTE, Progress

Separate = Callable[[Path, Path, Progress], dict[str, Any]]
"""(input, output folder, progress) → report: it writes the outputs of one file."""
Outcomes = Callable[[Sequence[tuple[Path, Path]]], Iterator[dict[str, Any] | str]]
"""(input, output folder) of several → for each in order its report, or on one line what failed."""
Show = Literal["table", "json", "nothing"]
"""What is printed of the results: tables, JSON (of one file its report, of several batch.json), or nothing."""
STDIN = Path("-")
"""The input that stands for standard input; its folder is called `stdin`."""
_OUT = Path("separated")
_REPORT = "batch.json"
_SHOWN_LEFT_OUT = 10
"""How many files of a folder that are not separated are named."""
_QUERY_WIDTH = 28


def separate_batch(
    inputs: Sequence[Path],
    out: Path | None,
    separate: Separate,
    *,
    show: Show = "table",
    recursive: bool = False,
    elsewhere: Outcomes | None = None,
) -> int:
    """Separate one file into `out`, or several files and the files of folders each into `out/<input stem>/`.

    Without `out`, a single file too goes into a folder of its own, `separated/<input stem>/`. For several, `batch.json`
    lists what was done, also of a batch that is interrupted; a bad file is reported on stderr and skipped, whatever it
    is that fails. `elsewhere` separates several in other processes; then one table at the end tells of all. Returns 0
    when all are done, 1 when some were skipped, 2 when all were. Raises TrisepError for a single bad file, a folder
    without media, or an output folder that cannot be written.
    """
    left_out: list[Path] = []
    files = [file for path in inputs for file in media_files(path, recursive=recursive, left_out=left_out)]
    if len(inputs) == 1 and files == [inputs[0]]:
        return _separate_one(files[0], out, separate, show)
    out = _OUT if out is None else out
    if left_out and show != "nothing":
        _tell_left_out(left_out)
    if (out / _REPORT).exists() and not _is_report(out / _REPORT, "inputs"):
        raise OutputError(f"{out / _REPORT}: is there already and no report of a batch; choose another output folder")
    pairs = [(file, out / name) for file, name in zip(files, _folder_names(files), strict=True)]
    entries: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    with locked(out):
        try:
            outcomes = _outcomes_here(pairs, separate) if elsewhere is None else elsewhere(pairs)
            for (file, folder), outcome in zip(pairs, outcomes, strict=True):
                if isinstance(outcome, str):
                    print(f"trisep: skipped: {shown(outcome)}", file=sys.stderr)
                elif elsewhere is None:
                    _tell(outcome, folder, show)
                error = outcome if isinstance(outcome, str) else None
                entries.append({"input": str(file), "folder": None if error else folder.name, "error": error})
                rows.append((shown(str(file)), "skipped" if error else "done", _found(outcome)))
        finally:
            num_done = sum(entry["error"] is None for entry in entries)
            batch = {"schema": SCHEMA, "done": num_done, "skipped": len(files) - num_done, "inputs": entries}
            if num_done:
                write_json(out / _REPORT, batch)
    if show == "json" or (elsewhere is not None and show == "table"):
        print("\n".join(columns(rows)) if show == "table" else json.dumps(batch, ensure_ascii=False, indent=1))
    if num_done < len(files):
        print(f"trisep: {num_done} of {len(files)} inputs done, {len(files) - num_done} skipped", file=sys.stderr)
    return 0 if num_done == len(files) else 1 if num_done else 2


def _tell_left_out(left_out: Sequence[Path]) -> None:
    """Name on stderr what a folder holds besides sound and video."""
    names = ", ".join(path.name for path in left_out[:_SHOWN_LEFT_OUT])
    more = f" and {len(left_out) - _SHOWN_LEFT_OUT} more" if len(left_out) > _SHOWN_LEFT_OUT else ""
    print(f"trisep: left out, as neither sound nor video: {shown(names)}{more}", file=sys.stderr)


def _separate_one(file: Path, out: Path | None, separate: Separate, show: Show) -> int:
    """Separate a single file; returns 0."""
    folder = _OUT / _folder_names([file])[0] if out is None else out
    with _progress_bar(file.name) as progress:
        report = separate(file, folder, progress)
    _tell(report, folder, show)
    if show == "json":
        print(json.dumps(report, ensure_ascii=False, indent=1))
    return 0


def _outcomes_here(pairs: Sequence[tuple[Path, Path]], separate: Separate) -> Iterator[dict[str, Any] | str]:
    """Separate file after file in this process."""
    for number, (file, folder) in enumerate(pairs, start=1):
        with _progress_bar(f"{number}/{len(pairs)} {file.name}") as progress:
            outcome = outcome_of(separate, file, folder, progress)
        yield outcome


def outcome_of(separate: Separate, file: Path, folder: Path, progress: Progress) -> dict[str, Any] | str:
    """Separate one file of a batch; return its report, or on one line what failed. OutputError is raised on."""
    try:
        return separate(file, folder, progress)
    except OutputError:
        raise
    except TrisepError as error:
        message = str(error)
    # One file must never stop a batch: whatever it makes a library raise is told and counted.
    except Exception as error:
        message = f"{file}: cannot be separated ({type(error).__name__}: {error})"
    return " ".join(message.split())


def _found(outcome: Mapping[str, Any] | str) -> str:
    """Say on one line what was found of each query; nothing of an input that was skipped."""
    stems = [] if isinstance(outcome, str) else outcome["stems"]
    return ", ".join(
        f"{short_query(stem['query'])} {_percent(stem['share']) if stem['present'] else 'probably not'}"
        for stem in stems
    )


def columns(rows: Sequence[tuple[str, ...]], *, to_the_right: Collection[int] = ()) -> list[str]:
    """Align rows of texts by the cells that a terminal gives them; the columns of these numbers at their right edge."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]

    def aligned(row: tuple[str, ...]) -> Iterator[str]:
        """Yield the texts of a row, filled up with spaces."""
        for number, (text, width) in enumerate(zip(row, widths, strict=True)):
            spaces = " " * (width - cell_len(text))
            yield spaces + text if number in to_the_right else text + spaces

    return ["  ".join(aligned(row)).rstrip() for row in rows]


def _folder_names(files: Sequence[Path]) -> list[str]:
    """Return the names of the folders for the outputs of files, no two of which any disk takes for one."""
    names: list[str] = []
    taken = {_as_on_any_disk(_REPORT)}
    for file in files:
        stem = "stdin" if file == STDIN else file.stem if file.stem.strip(". ") else "input"
        names.append(unused_name(stem, taken, key=_as_on_any_disk))
        taken.add(_as_on_any_disk(names[-1]))
    return names


def _as_on_any_disk(name: str) -> str:
    """Return what all names have in common that some disk takes for one: case and composition are lost."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _is_report(path: Path, content: str) -> bool:
    """Return whether a file is a report, of a batch (its content: `inputs`) or of one input (`stems`)."""
    try:
        return path.is_file() and {"schema", content} <= set(read_json(path))
    except (ConfigError, TypeError):
        return False


def _tell(report: dict[str, Any], folder: Path, show: Show) -> None:
    """Print what was found on stdout, and on stderr what is probably not in the sound."""
    if show == "table":
        print("\n".join(summary_lines(report, folder)))
    if show != "nothing":
        for line in warning_lines(report):
            print(f"trisep: warning: {shown(line)}", file=sys.stderr)


def media_files(path: Path, *, recursive: bool = False, left_out: list[Path] | None = None) -> list[Path]:
    """Return a file as it is, and of a folder the sound and video files directly in it, sorted.

    They are told by their suffix, and by their content where the suffix says nothing. With `recursive` those of the
    folders below follow; hidden ones and those that hold stems of an earlier run are left out. The other files are
    added to `left_out`.

    Raises MediaError when the folder has none, or when it or one below cannot be read.
    """
    if not path.is_dir():
        return [path]
    others: list[Path] = []
    files = _media_below(path, recursive, others)
    if left_out is not None:
        left_out += others
    if not files:
        pictures = sum(file.suffix.lower() in IMAGE_SUFFIXES for file in others)
        raise MediaError(
            f"{path}: the folder holds no sound or video file ({len(others)} other files, {pictures} of them "
            "pictures); name one that does"
        )
    return files


def _media_below(path: Path, recursive: bool, others: list[Path]) -> list[Path]:
    """Return the sound and video files of a folder, and add to `others` those that are neither."""
    try:
        with os.scandir(path) as found:
            entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda e: e.name)
        names = [entry.name for entry in entries if entry.is_file()]
        folders = [path / entry.name for entry in entries if recursive and entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise MediaError(f"{path}: the folder cannot be read ({error.strerror}); change its permissions") from error
    files = [path / name for name in names if _may_be_separated(path / name)]
    others += [path / name for name in names if path / name not in files]
    for folder in folders:
        if not _is_report(folder / REPORT, "stems"):
            files += _media_below(folder, recursive, others)
    return files


def _may_be_separated(path: Path) -> bool:
    """Tell whether a file of a folder is a sound or a video."""
    suffix = path.suffix.lower()
    return suffix in MEDIA_SUFFIXES or (suffix not in SIDECAR_SUFFIXES and is_media(path))


@contextmanager
def _progress_bar(label: str) -> Iterator[Progress]:
    """Show a progress bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label.replace("[", r"\["), total=1.0)
        yield lambda share: bar.update(task, completed=share)


def summary_lines(report: Mapping[str, Any], folder: Path) -> list[str]:
    """Return a table of a report's stems: the query, whether it is heard, its share of the sound, its files."""
    videos = (report.get("videos") or {}).get("files", {})
    rows = [("", "heard", "share", "files")]
    for stem in report["stems"]:
        name = Path(stem["file"]).stem
        heard = "yes" if stem["present"] else "probably not"
        rows.append(
            (short_query(stem["query"]), heard, _percent(stem["share"]), _files(stem["file"], videos.get(name)))
        )
    rest = _files(report["residual"], report["without"], videos.get("without"))
    if rest:
        rows.append(("the rest", "", _percent(report["residual_share"]), rest))
    return [shown(line) for line in (f"{folder}/", *columns(rows, to_the_right={2}))]


def warning_lines(report: Mapping[str, Any]) -> list[str]:
    """Return one line for each query that is not understood or probably not in the sound, and each unusual note."""
    source, notes = report["input"] or "the sound", list(report.get("notes", ()))
    lines = []
    for stem in report["stems"]:
        reason = reason_of(stem["query"], notes)
        if reason is not None:
            notes.remove(f"'{stem['query']}': {reason}")
            lines.append(f"{short_query(stem['query'])}: {reason}")
        elif not stem["present"]:
            lines.append(
                f"{short_query(stem['query'])}: probably not heard in {source} (presence {stem['presence']:.2f})"
            )
    return [*lines, *(f"{source}: {note}" for note in notes if not note.startswith(USUAL_NOTE))]


def reason_of(query: str, notes: Sequence[str]) -> str | None:
    """Find in the notes of a report why a query is not understood; None where it is."""
    about = f"'{query}': "
    return next((note.removeprefix(about) for note in notes if note.startswith(about)), None)


def short_query(query: str) -> str:
    """Return a query on one line of bounded width, in the cells of a terminal."""
    text = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in query)
    return text if cell_len(text) <= _QUERY_WIDTH else f"{set_cell_size(text, _QUERY_WIDTH - 3).rstrip()}..."


def _percent(share: float | None) -> str:
    """Return a share in per cent."""
    return "" if share is None else f"{100 * share:.0f} %"


def _files(*names: str | None) -> str:
    """Join the names that there are."""
    return ", ".join(name for name in names if name)
