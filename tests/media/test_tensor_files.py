"""Safetensors files are written as any other file is: same mode, same errors."""

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from trisep.errors import MediaError
from trisep.media.files import replacing
from trisep.media.tensor_files import write_tensors


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_has_the_mode_of_other_files(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_tensors(tmp_path / "a", {"x": np.ones(3, np.float32)}, {"trisep": "{}"})
        write_tensors(tmp_path / "b", {"x": torch.ones(3)})
    finally:
        os.umask(before)
    for name in ("a", "b"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~mask
        assert load_file(tmp_path / name)["x"].tolist() == [1, 1, 1]


def test_a_disk_that_is_full_is_an_error_of_the_system(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as raised:
            write_tensors(tmp_path / "a", {"x": np.ones(3000)})
        with pytest.raises(MediaError, match="cannot be written .File too large.; choose a disk"):
            with replacing(tmp_path / "b") as temporary:
                write_tensors(temporary, {"x": torch.ones(3000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.errno == errno.EFBIG
    assert not list(tmp_path.glob(".*")) and not (tmp_path / "b").exists()
