"""The writing of safetensors files, with the mode and the errors of other files.

This file does not know what the tensors mean.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
from safetensors import SafetensorError


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of torch, or arrays of NumPy, under a temporary name that `replacing` gave.

    The library makes files that only their owner can read, and has an error of its own for a full disk: the file gets
    the mode of any other new file, and the error is an OSError.
    """
    in_numpy = all(isinstance(value, np.ndarray) for value in tensors.values())
    save_file: Any = safetensors.numpy.save_file if in_numpy else safetensors.torch.save_file
    path.touch()
    mode = path.stat().st_mode & 0o777
    try:
        save_file(dict(tensors), path, metadata=dict(metadata) if metadata else None)
        path.chmod(mode)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise OSError(str(error)) from error
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
