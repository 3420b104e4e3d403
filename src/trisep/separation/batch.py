"""Several inputs in one command: their files and folders, what happens to a bad file, and the progress bar.

This module reads no sound.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from trisep.errors import MediaError, TrisepError
from trisep.media import IMAGE_SUFFIXES, MEDIA_SUFFIXES
from trisep.media.files import write_json
from trisep.queries.embed import unused_name
from trisep.separation.stems import SCHEMA, OutputError
from trisep.separation.streaming import Progress
from trisep.separation.summary import summary_lines, warning_lines

Separate = Callable[[Path, Path, Progress], dict[str, Any]]
"""(input, output folder, progress) → report: it writes the outputs of one file."""
Show = Literal["table", "json", "nothing"]
"""What is printed of the results: tables, JSON (of one file its report, of several batch.json), or nothing."""
_OUT = Path("separated")
_OTHER_MEDIA_SUFFIXES = frozenset(
    ".3gp .aif .aiff .amr .caf .flv .m4b .m4v .mka .mpeg .mpg .mts .oga .ogv .ts .wma .wmv".split()
)
_REPORT = "batch.json"


def separate_batch(inputs: Sequence[Path], out: Path | None, separate: Separate, *, show: Show = "table") -> int:
    """Separate one file into `out`, or several files and the files of folders each into `out/<input stem>/`.

    Without `out`, a single file too goes into a folder of its own, `separated/<input stem>/`. For several, `batch.json`
    lists what was done; a bad file is reported on stderr and skipped. Returns 0 when all are done, 1 when some were
    skipped, 2 when all were. Raises TrisepError for a single bad file, a folder without media, or an output folder that
    cannot be written.
    """
    files = [file for path in inputs for file in media_files(path)]
    if len(inputs) == 1 and files == [inputs[0]]:
        folder = _OUT / _folder_name(files[0], []) if out is None else out
        with _progress_bar(files[0].name) as progress:
            report = separate(files[0], folder, progress)
        _tell(report, folder, show)
        if show == "json":
            print(json.dumps(report, ensure_ascii=False, indent=1))
        return 0
    out = _OUT if out is None else out
    entries: list[dict[str, Any]] = []
    taken = [_REPORT]
    for number, file in enumerate(files, start=1):
        name = _folder_name(file, taken)
        taken.append(name)
        try:
            with _progress_bar(f"{number}/{len(files)} {file.name}") as progress:
                report = separate(file, out / name, progress)
            _tell(report, out / name, show)
            entries.append({"input": str(file), "folder": name, "error": None})
        except OutputError:
            raise
        except TrisepError as error:
            message = " ".join(str(error).split())
            print(f"trisep: skipped: {message}", file=sys.stderr)
            entries.append({"input": str(file), "folder": None, "error": message})
    num_done = sum(entry["error"] is None for entry in entries)
    batch = {"schema": SCHEMA, "done": num_done, "skipped": len(files) - num_done, "inputs": entries}
    if num_done:
        write_json(out / _REPORT, batch)
    if show == "json":
        print(json.dumps(batch, ensure_ascii=False, indent=1))
    if num_done < len(files):
        print(f"trisep: {num_done} of {len(files)} inputs done, {len(files) - num_done} skipped", file=sys.stderr)
    return 0 if num_done == len(files) else 1 if num_done else 2


def _folder_name(file: Path, taken: Sequence[str]) -> str:
    """Return the name of the folder for a file's outputs, unlike those that are taken."""
    return unused_name(file.stem if file.stem.strip(". ") else "input", taken)


def _tell(report: dict[str, Any], folder: Path, show: Show) -> None:
    """Print what was found on stdout, and on stderr what is probably not in the sound."""
    if show == "table":
        print("\n".join(summary_lines(report, folder)))
    if show != "nothing":
        for line in warning_lines(report):
            print(f"trisep: warning: {line}", file=sys.stderr)


def media_files(path: Path) -> list[Path]:
    """Return a file as it is, and of a folder the sound and video files directly in it, by their suffix, sorted.

    Raises MediaError when the folder has none, or cannot be read.
    """
    if not path.is_dir():
        return [path]
    try:
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        raise MediaError(f"{path}: the folder cannot be read ({error.strerror}); change its permissions") from error
    files = [path / name for name in names if Path(name).suffix.lower() in MEDIA_SUFFIXES | _OTHER_MEDIA_SUFFIXES]
    if not files:
        pictures = sum(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names)
        raise MediaError(
            f"{path}: the folder holds no sound or video file ({len(names)} other files, {pictures} of them pictures); "
            "name one that does"
        )
    return files


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
