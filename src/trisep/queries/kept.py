"""What was computed from the pictures and videos of queries, so that a batch computes it once and not for each file.

It is found again by content: a picture by its pixels, a file by its place, size and time of change. Words have such a
place of their own (`encoders/__init__.py`). This module knows no encoder and decodes nothing.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

_MOST = 64
"""Of how many pictures and videos something is kept; what was asked for longest ago goes first."""
_values: OrderedDict[Hashable, Any] = OrderedDict()
_lock = Lock()
Value = TypeVar("Value")


def kept(key: Hashable, make: Callable[[], Value]) -> Value:
    """Return what `make` gave when this key was last asked for, or else call it; no key, None, is never kept.

    What is kept is shared: it must not be changed.
    """
    if key is None:
        return make()
    with _lock:
        if key in _values:
            _values.move_to_end(key)
            found: Value = _values[key]
            return found
    made = make()
    with _lock:
        _values[key] = made
        if len(_values) > _MOST:
            _values.popitem(last=False)
    return made


def picture_key(picture: UInt8[np.ndarray, "H W 3"]) -> Hashable:
    """Return what a picture is found by: its size and a hash of its pixels."""
    return picture.shape, hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest()


def file_key(path: Path) -> Hashable:
    """Return what a file is found by: its place, its size and the time of its last change; None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path.resolve()), status.st_size, status.st_mtime_ns
