"""A file appears under its name only when it is complete: written beside its target, then moved into place."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trisep.errors import MediaError

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
}


def write_failure(path: Path, error: Exception) -> MediaError:
    """The error to raise when `path` cannot be written, with the system's reason and a remedy on one line."""
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


def temporary_beside(path: Path) -> Path:
    """A fresh name in the folder of `path`, with the same suffix (muxers choose the format by it); nothing is created.

    Raises MediaError when `path` is a folder or its parent is not one.
    """
    try:
        if path.is_dir():
            raise write_failure(path, IsADirectoryError(errno.EISDIR, ""))
        if not path.parent.is_dir():
            raise write_failure(path, FileNotFoundError(errno.ENOTDIR if path.parent.exists() else errno.ENOENT, ""))
    except OSError as error:
        raise write_failure(path, error) from error
    return path.with_name(f".trisep-{secrets.token_hex(8)}{path.suffix}")


def discard(temporary: Path) -> None:
    """Remove a temporary file if it is there; a failure to do so is not worth hiding the error that led here."""
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
        os.replace(temporary, path)
    except OSError as error:
        raise write_failure(path, error) from error
    finally:
        discard(temporary)
