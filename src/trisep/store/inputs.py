"""Which files of a folder become clips: the sorted list of inputs, what is excluded, and which files are the same. It decodes nothing."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trisep.errors import MediaError, StoreError
from trisep.store.layout import sha256_of_file

SIDECAR_SUFFIXES = frozenset(
    ".txt .md .rst .csv .tsv .json .jsonl .xml .yaml .yml .html .pdf .log .nfo .srt .vtt .ass .lrc .jpg .jpeg .png .gif .webp .bmp .svg"
    " .py .sh .zip .tar .gz .npy .npz .safetensors .part .ytdl .tmp .sha256 .md5".split()
)
"""Files that commonly lie beside videos: they are not counted as inputs. Every other file that is not hidden is one."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that may become clips."""

    source: str
    """Path relative to the input folder, with forward slashes."""
    size_bytes: int


def list_inputs(folder: Path, *, leave_out: Path) -> tuple[InputFile, ...]:
    """All inputs below `folder`, sorted by relative path; links are followed, `leave_out` (the store) is not entered.

    Raises MediaError when the folder or one below it cannot be read, StoreError when there is no input at all.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: {'is a file' if folder.exists() else 'no such folder'}; give a folder of videos")
    found = [
        InputFile(path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in _walk(folder, leave_out=leave_out.resolve())
        if path.suffix.lower() not in SIDECAR_SUFFIXES
    ]
    if not found:
        raise StoreError(f"{folder}: holds no video or sound file; give a folder of videos")
    return tuple(sorted(found, key=lambda file: file.source))


def inputs_digest(files: tuple[InputFile, ...]) -> str:
    """SHA-256 over relative paths and sizes: it changes when files come, go, or change their size."""
    lines = "".join(f"{file.size_bytes} {file.source}\n" for file in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def find_duplicates(folder: Path, files: tuple[InputFile, ...]) -> dict[str, str]:
    """Sources whose content is that of an earlier source, which they map to. Only files of equal size are hashed."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for file in files:
        by_size[file.size_bytes].append(file.source)
    duplicates: dict[str, str] = {}
    for sources in by_size.values():
        first_of: dict[str, str] = {}
        for source in sources if len(sources) > 1 else ():
            try:
                first = first_of.setdefault(sha256_of_file(folder / source), source)
            except OSError:
                # A file that cannot be read is no duplicate; it is skipped, with the system's reason, when its turn comes.
                continue
            if first != source:
                duplicates[source] = first
    return duplicates


def read_exclusions(path: Path | None) -> frozenset[str]:
    """What must stay out of a store: SHA-256 sums or relative paths, from a JSON list or from lines (`#` begins a comment line).

    Lines in the form of the sha256sum program are understood. Raises StoreError when the file cannot be read as such a list.
    """
    if path is None:
        return frozenset()
    try:
        text = path.read_text(encoding="utf-8")
        entries = json.loads(text) if text.lstrip().startswith("[") else [line.strip() for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read as a list of files to exclude ({error}); give a JSON list or lines") from error
    if not all(isinstance(entry, str) for entry in entries):
        raise StoreError(f"{path}: the list of files to exclude holds more than strings; give SHA-256 sums or relative paths")
    return frozenset(_without_sum_file_name(entry) for entry in entries if entry and not entry.startswith("#"))


def _without_sum_file_name(entry: str) -> str:
    """The hash of a line `HASH  NAME`; any other line as it is."""
    head = entry.split(maxsplit=1)[0].lower()
    return head if len(head) == 64 and set(head) <= set("0123456789abcdef") else entry


def _walk(folder: Path, *, leave_out: Path) -> Iterator[Path]:
    """Every file that is not hidden, below `folder`; each real folder once, so that circular links end."""

    def refuse(error: OSError) -> None:
        raise MediaError(f"{error.filename}: the folder cannot be read ({error.strerror}); change its permissions or move it away")

    seen = {folder.resolve()}
    for parent, folder_names, file_names in os.walk(folder, onerror=refuse, followlinks=True):
        kept = []
        for name in sorted(folder_names):
            real = Path(parent, name).resolve()
            if not name.startswith(".") and real not in seen and real != leave_out:
                seen.add(real)
                kept.append(name)
        folder_names[:] = kept
        yield from (Path(parent, name) for name in file_names if not name.startswith(".") and Path(parent, name).is_file())
