"""Files of every kind: hashes, JSON, and files that appear under their names only when they are complete.

A file is written beside its target under a temporary name (`TEMPORARY_PATTERN`), then moved into place. This is the one
way in which the project writes. This file knows no media.
"""

import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from trisep.errors import MediaError

TEMPORARY_PATTERN = ".trisep-*"
"""Names of files and folders while they are being written."""
LOCK = ".trisep-lock"
"""Name of the file by which a process keeps others out of a folder (`lock.py`)."""
_PREVIOUS_PREFIX = ".trisep-previous-"
"""Before the name of a folder that is being replaced; without the folder itself, it is all there is of it."""
_REMEDIES = {
    errno.ENOENT: "create the folder first",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.EFBIG: "choose a disk that allows larger files",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "choose a name that is not a folder",
    errno.ENOTDIR: "choose a place inside a folder",
    errno.EEXIST: "a file is in its place: choose another name",
}


def write_failure(path: Path, error: Exception) -> MediaError:
    """Build the error to raise when `path` cannot be written, with the system's reason and a remedy on one line."""
    number = error.errno if isinstance(error, OSError) else None
    reason = (
        os.strerror(number)
        if number is not None and 0 < number < 4096
        else str(error).splitlines()[0]
        if str(error)
        else type(error).__name__
    )
    remedy = _REMEDIES.get(number or 0, "choose another place or name")
    return MediaError(f"{path}: cannot be written ({reason}); {remedy}")


def make_folder(path: Path) -> None:
    """Make a folder with all folders above it, if it does not exist; MediaError when it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(path, error) from error


def require_place(path: Path, num_bytes: int = 0) -> None:
    """Raise MediaError unless something can be written at `path`, which need not exist, and the disk has room for it.

    It is for the beginning of long work; nothing is written.
    """
    try:
        existing = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not existing.is_dir() and existing != path:
            raise NotADirectoryError(errno.ENOTDIR, "")
        if not os.access(existing if existing.is_dir() else existing.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "")
        free = shutil.disk_usage(existing).free
    except (OSError, ValueError) as error:
        raise write_failure(path, error) from error
    if num_bytes > free:
        raise MediaError(
            f"{path}: about {_in_words(num_bytes)} are to be written, and {_in_words(free)} are free; free some space "
            "or choose another disk"
        )


def _in_words(num_bytes: int) -> str:
    """Give a size in the unit that a person would choose."""
    unit, name = (1e9, "GB") if num_bytes >= 1e9 else (1e6, "MB")
    return f"{num_bytes / unit:.1f} {name}"


def temporary_name(folder: Path) -> str:
    """Choose an unused name in a folder, which tells who writes under it: machine and process.

    The first time that a process asks for a folder, what processes of this machine that are no more left there is
    removed.
    """
    _sweep_once(folder.absolute())
    return f".trisep-{_machine()}-{os.getpid()}-{secrets.token_hex(8)}"


def temporary_beside(path: Path) -> Path:
    """Choose an unused name in the folder of `path`, with the same suffix (muxers choose the format by it).

    Nothing is created. Raises MediaError when `path` is a folder or its parent is not one.
    """
    try:
        if path.is_dir():
            raise write_failure(path, IsADirectoryError(errno.EISDIR, ""))
        if not path.parent.is_dir():
            raise write_failure(path, FileNotFoundError(errno.ENOTDIR if path.parent.exists() else errno.ENOENT, ""))
    except OSError as error:
        raise write_failure(path, error) from error
    return path.with_name(temporary_name(path.parent) + path.suffix)


def discard(temporary: Path) -> None:
    """Remove a temporary file if it exists; a failure is ignored, since it would hide the error that led here."""
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; move it into place when the body ends well, remove it otherwise.

    OSErrors of the body and of the move become MediaError.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        move_into_place(temporary, path)
    except OSError as error:
        raise write_failure(path, error) from error
    finally:
        discard(temporary)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it takes the place of `path` when the body ends well.

    Folders above are made. OSErrors of the body and of the move become MediaError; then what was there is there again,
    and nothing is left behind. A process that is killed between the two moves leaves the old folder under another name,
    from which the next `replacing_folder` or `remove_leftovers` brings it back.
    """
    make_folder(path.parent)
    temporary = path.with_name(temporary_name(path.parent))
    previous = path.with_name(_PREVIOUS_PREFIX + path.name)
    try:
        _restore_or_remove(previous)
        if path.exists() and not path.is_dir():
            raise FileExistsError(errno.EEXIST, "")
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                move_into_place(path, previous)
            move_into_place(temporary, path)
        finally:
            _restore_or_remove(previous)
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise write_failure(path, error) from error


def _restore_or_remove(previous: Path) -> None:
    """Move a folder that was to be replaced back to its name, or remove it where that name is taken by the new one."""
    path = previous.with_name(previous.name.removeprefix(_PREVIOUS_PREFIX))
    if path.exists():
        shutil.rmtree(previous, ignore_errors=True)
    elif previous.is_dir():
        move_into_place(previous, path)


def move_into_place(temporary: Path, path: Path) -> None:
    """Give a complete file or folder its name, in one step; a file of that name is replaced."""
    os.replace(temporary, path)


def remove_leftovers(folder: Path) -> None:
    """Remove the half-written files and folders that killed runs left directly in a folder.

    A folder that a killed run moved away and did not replace gets its name back.
    """
    for leftover in folder.glob(TEMPORARY_PATTERN):
        if leftover.name.startswith(_PREVIOUS_PREFIX):
            _restore_or_remove(leftover)
        elif leftover.name != LOCK:
            _remove(leftover)


@functools.cache
def _sweep_once(folder: Path) -> None:
    """Remove what was written in a folder by processes of this machine that have ended without removing it."""
    with suppress(OSError):
        for leftover in folder.glob(TEMPORARY_PATTERN):
            writer = re.match(r"\.trisep-([0-9a-f]{8})-(\d+)-", leftover.name)
            if writer is not None and writer[1] == _machine() and not _is_running(int(writer[2])):
                _remove(leftover)


def _remove(leftover: Path) -> None:
    """Remove a temporary file or folder, as far as that is possible."""
    if leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        discard(leftover)


def _machine() -> str:
    """Name this machine in eight hexadecimal digits."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_running(process: int) -> bool:
    """Return whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@contextmanager
def replacing_text(path: Path) -> Iterator[TextIO]:
    """Open a text file for writing, moved into place when it is complete; names that are not UTF-8 survive as escapes.

    Line ends are written as given. Raises MediaError where the place cannot be written.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def write_json(path: Path, content: Any, *, indent: int | None = 1) -> None:
    """Write JSON, moved into place when it is complete. Names that are not UTF-8 survive as escapes.

    Raises MediaError where the place cannot be written, and ValueError for a NaN.
    """
    text = json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def is_utf8(text: str) -> bool:
    """Return whether a name is valid UTF-8; file names of Linux can be any bytes, and text files cannot hold those."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def is_same_file(path: Path, other: Path) -> bool:
    """Return whether two paths lead to one file or folder; by their names where one of them does not exist."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return os.path.abspath(path) == os.path.abspath(other)


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file, as hexadecimal digits; OSError where it is not there, or no regular file."""
    if path.exists() and not path.is_file():
        # A pipe would be waited for, a device never ends.
        raise OSError(errno.EINVAL, "not a regular file; save it to disk first", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
