"""Several inputs in one command: their files and folders, what happens to a bad file, and the progress bar.

This module reads no sound.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trisep.errors import MediaError, TrisepError
from trisep.media import IMAGE_SUFFIXES, MEDIA_SUFFIXES
from trisep.media.files import write_json
from trisep.queries.embed import unused_name
from trisep.separation.stems import SCHEMA, OutputError
from trisep.separation.streaming import Progress

Separate = Callable[[Path, Path, Progress], None]
"""(input, output folder, progress) → None: it writes the outputs of one file."""
_OTHER_MEDIA_SUFFIXES = frozenset(
    ".3gp .aif .aiff .amr .caf .flv .m4b .m4v .mka .mpeg .mpg .mts .oga .ogv .ts .wma .wmv".split()
)
_REPORT = "batch.json"


def separate_batch(inputs: Sequence[Path], out: Path, separate: Separate) -> int:
    """Separate one file into `out`, or several files and the files of folders each into `out/<input stem>/`.

    For several, `out/batch.json` lists what was done; a bad file is reported on stderr and skipped. Returns 0 when all
    are done, 1 when some were skipped, 2 when all were. Raises TrisepError for a single bad file, a folder without
    media, or an output folder that cannot be written.
    """
    files = [file for path in inputs for file in media_files(path)]
    if len(inputs) == 1 and files == [inputs[0]]:
        with _progress_bar(files[0].name) as progress:
            separate(files[0], out, progress)
        return 0
    entries: list[dict[str, Any]] = []
    taken = [_REPORT]
    for number, file in enumerate(files, start=1):
        name = unused_name(file.stem if file.stem.strip(". ") else "input", taken)
        taken.append(name)
        try:
            with _progress_bar(f"{number}/{len(files)} {file.name}") as progress:
                separate(file, out / name, progress)
            entries.append({"input": str(file), "folder": name, "error": None})
        except OutputError:
            raise
        except TrisepError as error:
            message = " ".join(str(error).split())
            print(f"trisep: skipped: {message}", file=sys.stderr)
            entries.append({"input": str(file), "folder": None, "error": message})
    num_done = sum(entry["error"] is None for entry in entries)
    if num_done:
        write_json(
            out / _REPORT,
            {"schema": SCHEMA, "done": num_done, "skipped": len(files) - num_done, "inputs": entries},
        )
    if num_done < len(files):
        print(f"trisep: {num_done} of {len(files)} inputs done, {len(files) - num_done} skipped", file=sys.stderr)
    return 0 if num_done == len(files) else 1 if num_done else 2


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
