"""One process at a time in a folder: who comes second is told, and what a killed process left behind locks nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from trisep.errors import MediaError
from trisep.media.files import LOCK, remove_leftovers
from trisep.media.lock import locked

pytest.importorskip("fcntl")


def test_the_second_is_told_who_is_there_and_comes_in_afterwards(tmp_path: Path) -> None:
    with locked(tmp_path):
        remove_leftovers(tmp_path)  # the sweep of what killed runs left spares it
        with pytest.raises(MediaError, match=r"another trisep writes there \(process \d+ on .*\); wait until"):
            with locked(tmp_path):
                raise AssertionError("two at once")
    with locked(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff{", b'{"process": 1}'])
def test_a_file_that_a_killed_process_left_locks_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    with locked(tmp_path):
        assert b"process" in (tmp_path / LOCK).read_bytes()
    assert not (tmp_path / LOCK).exists()


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with locked(tmp_path / "a"):
        assert (tmp_path / "a").is_dir()
    assert not (tmp_path / "a").exists()
    with locked(tmp_path / "a"):
        (tmp_path / "a" / "file").touch()
    assert (tmp_path / "a" / "file").exists()


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MediaError, match="file: cannot be written"), locked(tmp_path / "file"):
        raise AssertionError("in a file")


@pytest.mark.slow
def test_the_lock_of_a_killed_process_ends_with_it(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from trisep.media.lock import locked
with locked(Path({str(tmp_path)!r})):
    print("locked", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        with pytest.raises(MediaError, match=f"process {process.pid} "), locked(tmp_path):
            raise AssertionError("two at once")
        process.kill()
        process.wait()
    with locked(tmp_path):
        pass
