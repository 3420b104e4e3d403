"""What the C library does with memory that was freed: kept for the next block, or given back to the system.

Only glibc is asked, which is the C library of most Linux systems; elsewhere these functions do nothing.
"""

import ctypes
import sys

_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed() -> None:
    """Keep freed memory for the next block of this process, large blocks included.

    By default glibc gives every block above 32 MiB back, and the system fills its pages with zeros when it is taken
    again: a tenth of a step of training.
    """
    choose = getattr(_LIBRARY, "mallopt", None)
    if choose is not None:
        choose(_MMAP_MAX, 0)
        choose(_TRIM_THRESHOLD, -1)


def share_freed() -> None:
    """Let threads that are not started yet take what other threads freed.

    By default glibc keeps the freed memory of each thread for that thread: two that work in turn hold twice as much.
    """
    choose = getattr(_LIBRARY, "mallopt", None)
    if choose is not None:
        choose(_ARENA_MAX, 1)


def give_back_freed() -> None:
    """Give pages of freed memory back to the system; glibc keeps them, and the memory of a long file creeps up."""
    trim = getattr(_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)
