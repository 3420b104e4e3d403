"""One process at a time in a folder: a lock that ends with the process, however it ends.

The lock is the system's, on a file in the folder that also tells who holds it; so a file that a killed process left
behind locks nothing, and the next process takes it over. Where the system has no such locks, none is taken.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trisep.errors import MediaError
from trisep.media.files import LOCK, make_folder, write_failure

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if it is absent, until the body ends.

    Raises MediaError, on one line that names the holder, where another process writes there; and where the folder
    cannot be written.
    """
    is_new = not folder.exists()
    make_folder(folder)
    descriptor = _taken(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            # Removed while it is held: who waits for it sees that it is gone, and makes another.
            with suppress(OSError):
                (folder / LOCK).unlink()
            os.close(descriptor)
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # only where nothing was written


def _taken(folder: Path) -> int | None:
    """Take the lock and return its descriptor."""
    if fcntl is None:
        return None
    while True:
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise write_failure(folder, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise MediaError(
                f"{folder}: another trisep writes there{holder}; wait until it has ended, or choose another folder"
            ) from None
        except OSError:
            # A disk without locks, such as some of a network.
            os.close(descriptor)
            return None
        if _is_still(folder / LOCK, descriptor):
            os.ftruncate(descriptor, 0)
            about = {"process": os.getpid(), "machine": platform.node(), "since": time.strftime("%F %T")}
            os.write(descriptor, json.dumps(about).encode())
            return descriptor
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Tell whether a file has kept its name while its lock was taken."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _holder(descriptor: int) -> str:
    """Say who holds a lock, as far as the file tells."""
    try:
        about = json.loads(os.pread(descriptor, 1000, 0))
        return f" (process {about['process']} on {about['machine']}, since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
