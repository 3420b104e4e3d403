"""Archives that claim more than they hold take no memory, and what is no file is not waited for."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from trisep.encoders.tensor_archive import read_tensors
from trisep.errors import CheckpointError


def repacked(state: object, path: Path, compression: int, **larger: int) -> Path:
    """What torch.save writes, packed in another way; records named in `larger` grow to so many zeros."""
    plain = io.BytesIO()
    torch.save(state, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", compression) as target:
        for entry in source.infolist():
            size = larger.get(entry.filename.rpartition("/")[2], 0)
            target.writestr(entry.filename, bytes(size) if size else source.read(entry))
    return path


def test_a_deflated_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = repacked({"a": torch.zeros(1)}, tmp_path / "bomb.pt", zipfile.ZIP_DEFLATED, **{"0": 100 << 20})
    assert bomb.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="its records are compressed, which PyTorch never does"):
        read_tensors(bomb)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_a_stored_archive_is_read(tmp_path: Path) -> None:
    stored = repacked({"a": torch.ones(3)}, tmp_path / "stored.pt", zipfile.ZIP_STORED)
    assert read_tensors(stored)["a"].tolist() == [1, 1, 1]


def test_a_tensor_that_repeats_its_numbers_without_end_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(1 << 40)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="the tensor a claims more than the file holds"):
        read_tensors(tmp_path / "a.pt")


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="a.pt: is no regular file; give a file of weights"):
        read_tensors(tmp_path / "a.pt")
