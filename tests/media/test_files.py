"""Files appear under their names only when they are complete; JSON, hashes, and the one line of what went wrong."""

import errno
import json
import os
import subprocess
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from trisep.errors import MediaError
from trisep.media.files import (
    TEMPORARY_PATTERN,
    discard,
    is_utf8,
    make_folder,
    move_into_place,
    remove_leftovers,
    replacing,
    replacing_folder,
    replacing_text,
    require_place,
    sha256_of,
    temporary_beside,
    temporary_name,
    write_failure,
    write_json,
)

ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""Of the letters abc: the first example of FIPS 180-2."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_hidden_until_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "sound.wav"
    target.write_text("old")
    with replacing(target) as temporary:
        assert names(tmp_path) == ["sound.wav"]
        assert temporary.parent == tmp_path and temporary.suffix == ".wav"
        assert fnmatch(temporary.name, TEMPORARY_PATTERN)
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert names(tmp_path) == ["sound.wav"] and target.read_text() == "new"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "first"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_has_no_hash(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "a")
    with pytest.raises(OSError, match="not a regular file"):
        sha256_of(tmp_path / "a")


def test_a_body_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(MediaError, match="No space left"), replacing(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "")
    with pytest.raises(MediaError, match="cannot be written"), replacing(target):
        pass  # nothing was written that could be moved
    assert names(tmp_path) == ["a"] and target.read_text() == "old"


def test_places_that_cannot_hold_a_file_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, message in (
        (tmp_path, f"{tmp_path}: cannot be written (Is a directory); choose a name that is not a folder"),
        (tmp_path / "absent" / "a", "cannot be written (No such file or directory); create the folder first"),
        (tmp_path / "file" / "a", "cannot be written (Not a directory); choose a place inside a folder"),
    ):
        with pytest.raises(MediaError) as caught, replacing(path):
            raise AssertionError("the body was entered")
        assert message in str(caught.value)
    with pytest.raises(MediaError, match="File name too long.; choose a shorter name"):
        with replacing(tmp_path / ("x" * 300)) as temporary:
            temporary.write_text("x")
    assert names(tmp_path) == ["file"]


def test_a_temporary_name_is_only_a_name(tmp_path: Path) -> None:
    temporary = temporary_beside(tmp_path / "clip.mp4")
    assert not temporary.exists()
    discard(temporary)
    temporary.write_text("x")
    discard(temporary)
    assert names(tmp_path) == []
    discard(tmp_path)  # which unlink cannot remove: not worth an error
    assert tmp_path.is_dir()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOENT, "x"), "No such file or directory); create the folder first"),
        (OSError(errno.EACCES, "x"), "Permission denied); choose a folder you may write to"),
        (OSError(errno.EPERM, "x"), "Operation not permitted); choose a folder you may write to"),
        (OSError(errno.EROFS, "x"), "Read-only file system); choose a folder you may write to"),
        (OSError(errno.ENOSPC, "x"), "No space left on device); free some space or choose another disk"),
        (OSError(errno.EDQUOT, "x"), "Disk quota exceeded); free some space or choose another disk"),
        (OSError(errno.EFBIG, "x"), "File too large); choose a disk that allows larger files"),
        (OSError(errno.ENAMETOOLONG, "x"), "File name too long); choose a shorter name"),
        (OSError(errno.EIO, "x"), "Input/output error); choose another place or name"),
        (OSError(1094995529, "Invalid data\nfound"), "[Errno 1094995529] Invalid data); choose another place or name"),
        (ValueError("odd\nrate"), "odd); choose another place or name"),
        (ValueError(), "ValueError); choose another place or name"),
    ],
)
def test_a_failure_is_one_line_with_a_reason_and_a_remedy(error: Exception, message: str) -> None:
    assert str(write_failure(Path("out/a.wav"), error)) == f"out/a.wav: cannot be written ({message}"


def test_folders_are_made_with_all_above_them(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(MediaError, match=f"^{path}: cannot be written \\((File exists|Not a directory)\\); "):
            make_folder(path)


def test_json_is_whole_readable_and_without_nan(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"naïve": [1, None]})
    assert target.read_bytes() == '{\n "naïve": [\n  1,\n  null\n ]\n}\n'.encode()
    write_json(target, {"b": 2}, indent=None)
    assert target.read_text() == '{"b": 2}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(target, {"b": float("nan")})
    assert names(tmp_path) == ["a.json"] and target.read_text() == '{"b": 2}\n'


def test_names_that_are_not_utf8_survive_in_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    write_json(tmp_path / "a.json", {"input": name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"input": name}
    assert os.fsencode(json.loads((tmp_path / "a.json").read_text())["input"]) == b"caf\xe9.wav"


def test_a_folder_takes_its_place_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "above" / "model"
    for content in ("first", "second"):
        with replacing_folder(target) as temporary:
            assert temporary.parent == target.parent and fnmatch(temporary.name, TEMPORARY_PATTERN)
            assert names(temporary) == []
            (temporary / content).write_text(content)
            assert not (target / content).exists()
        assert names(target) == [content] and names(target.parent) == ["model"]


def test_a_folder_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "model") as temporary:
        (temporary / "old").write_text("x")
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "model") as temporary:
        (temporary / "new").write_text("x")
        raise ZeroDivisionError
    with (
        pytest.raises(MediaError, match="model: cannot be written .No space left"),
        replacing_folder(tmp_path / "model"),
    ):
        raise OSError(errno.ENOSPC, "")
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["old"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaError, match="file.*: cannot be written"), replacing_folder(tmp_path / "file" / "model"):
        pass


@pytest.mark.parametrize("failure", [OSError(errno.EIO, ""), KeyboardInterrupt()])
def test_a_folder_whose_second_move_fails_is_moved_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    with replacing_folder(tmp_path / "model") as temporary:
        (temporary / "old").write_text("x")

    def refuse_the_new(source: Path, target: Path) -> None:
        if (source / "new").exists():
            raise failure
        os.rename(source, target)

    monkeypatch.setattr("trisep.media.files.os.replace", refuse_the_new)
    with pytest.raises((MediaError, KeyboardInterrupt)), replacing_folder(tmp_path / "model") as temporary:
        (temporary / "new").write_text("x")
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["old"]


def killed_between_the_moves(folder: Path) -> None:
    """Leave what a process leaves that is killed between the two moves of `replacing_folder`."""
    process = os.fork()
    if process == 0:
        move = os.replace

        def move_once(source: Path, target: Path) -> None:
            if (Path(source) / "new").exists():
                os._exit(9)
            move(source, target)

        os.replace = move_once  # type: ignore[assignment]
        with replacing_folder(folder) as temporary:
            (temporary / "new").write_text("x")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_folder_whose_move_was_killed_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with replacing_folder(target) as temporary:
        (temporary / "old").write_text("x")
    killed_between_the_moves(target)
    assert not target.exists() and len(names(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["model"] and names(target) == ["old"]
    killed_between_the_moves(target)
    with pytest.raises(ZeroDivisionError), replacing_folder(target):
        raise ZeroDivisionError
    assert names(target) == ["old"]
    killed_between_the_moves(target)
    with replacing_folder(target) as temporary:
        (temporary / "newer").write_text("x")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["model"] and names(target) == ["newer"]


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(MediaError, match="model: cannot be written .File exists.; a file is in its place"):
        with replacing_folder(tmp_path / "model"):
            raise AssertionError("the body was entered")
    assert names(tmp_path) == ["model"] and (tmp_path / "model").read_text() == "mine"


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".trisep-0123.json", ".trisep-45/inner", "kept.json", ".hidden", "below/.trisep-67"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".hidden", "below", "kept.json"] and names(tmp_path / "below") == [".trisep-67"]


def test_what_an_ended_process_left_is_removed_at_the_first_write(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    machine, own = temporary_name(tmp_path / "elsewhere").split("-")[1:3]
    assert own == str(os.getpid())
    gone = [f".trisep-{machine}-{ended.pid}-01.wav", f".trisep-{machine}-{ended.pid}-02"]
    kept = [f".trisep-{machine}-{own}-03.wav", f".trisep-00000000-{ended.pid}-04", ".trisep-05", ".trisep-previous-a"]
    for name in (*gone, *kept):
        (tmp_path / name).mkdir()
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == sorted([*kept, "a"])
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a"]


def test_moving_into_place_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "a").write_text("old")
    move_into_place(tmp_path / "new", tmp_path / "a")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "new"


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == ABC_SHA256


def test_text_that_is_not_utf_8_survives_as_escapes(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.wav")
    with replacing_text(tmp_path / "a.csv") as file:
        file.write(f"{name},ü\r\n")
    assert (tmp_path / "a.csv").read_bytes() == "a\\udcff.wav,ü\r\n".encode()
    assert is_utf8("ü") and not is_utf8(name)


def test_room_is_said_in_the_unit_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trisep.media.files.shutil.disk_usage", lambda place: type("Usage", (), {"free": 2_500_000}))
    with pytest.raises(MediaError, match=r"about 3\.2 GB are to be written, and 2\.5 MB are free"):
        require_place(tmp_path, 3_200_000_000)
