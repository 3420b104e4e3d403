"""Which files a folder offers, which are left out, and which are the same."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trisep.errors import MediaError, StoreError
from trisep.store.inputs import InputFile, find_duplicates, inputs_digest, list_inputs, read_clip_lists, read_exclusions


def test_inputs_are_sorted_and_leave_out_sidecars_hidden_files_and_the_store(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/c.MKV", "a/notes.txt", ".hidden.mp4", ".cache/x.mp4", "out/shards/s.tar2", "z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    files = list_inputs(tmp_path, leave_out=tmp_path / "out")
    assert files == (InputFile("a/c.MKV", 5), InputFile("b.mp4", 5), InputFile("z", 5))


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").write_bytes(b"1")
    (tmp_path / "videos").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "videos" / "linked")
    os.symlink(tmp_path / "videos", tmp_path / "real" / "back")
    assert [file.source for file in list_inputs(tmp_path / "videos", leave_out=tmp_path / "out")] == ["linked/a.mp4"]


def test_missing_and_empty_folders_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such folder"):
        list_inputs(tmp_path / "nowhere", leave_out=tmp_path)
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="no video or sound file"):
        list_inputs(tmp_path, leave_out=tmp_path / "out")


def _list(tmp_path: Path, row: str) -> Path:
    (tmp_path / "a.mp4").write_bytes(b"12345")
    (tmp_path / "list.csv").write_text(f"source,start_seconds,end_seconds\n{row}\n", encoding="utf-8")
    return tmp_path / "list.csv"


@pytest.mark.parametrize(
    "times", ["1e300,1e301", "nan,2", "1,nan", "0,inf", "inf,", "2,2", "3,2", "-1,2", "1e9,2e9", ",0", "x,1"]
)
def test_times_that_are_no_stretch_are_refused_before_anything_is_read(tmp_path: Path, times: str) -> None:
    with pytest.raises(StoreError, match=r"list\.csv: a\.mp4 from .* is no stretch"):
        read_clip_lists(tmp_path, [_list(tmp_path, f"a.mp4,{times}")])


def test_rows_are_read_as_they_are_meant(tmp_path: Path) -> None:
    for times, expected in (("0.5,2", (0.5, 2.0)), (",2", (0.0, 2.0)), ("3,", (3.0, None)), (",", (None, None))):
        found = read_clip_lists(tmp_path, [_list(tmp_path, f"a.mp4,{times}")])
        assert found == (InputFile("a.mp4", 5, *expected),)


@pytest.mark.parametrize("row", ["a.mp4", "a.mp4,0,1,2,3"])
def test_a_row_of_another_length_is_named(tmp_path: Path, row: str) -> None:
    with pytest.raises(StoreError, match=r"list\.csv, line 2: expected 3 columns"):
        read_clip_lists(tmp_path, [_list(tmp_path, row)])


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_list_that_is_no_regular_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "list.csv")
    with pytest.raises(StoreError, match=r"list\.csv: is not a regular file"):
        read_clip_lists(tmp_path, [tmp_path / "list.csv"])


def test_digest_depends_on_names_and_sizes() -> None:
    digests = {inputs_digest(files) for files in ((InputFile("a", 1),), (InputFile("a", 2),), (InputFile("b", 1),), ())}
    assert len(digests) == 4


def test_duplicates_name_the_first(tmp_path: Path) -> None:
    for name, content in {"a": b"same", "b": b"diff", "c": b"same", "d": b"longer", "e": b"same"}.items():
        (tmp_path / name).write_bytes(content)
    files = tuple(InputFile(name, (tmp_path / name).stat().st_size) for name in "abcde")
    assert find_duplicates(tmp_path, files) == {"c": "a", "e": "a"}


def test_exclusions_from_json_lines_and_sum_files(tmp_path: Path) -> None:
    sha = "0123456789abcdef" * 4
    (tmp_path / "list.json").write_text(json.dumps([sha, "dir/with space.mp4"]), encoding="utf-8")
    (tmp_path / "list.txt").write_text(
        f"# kept out\n\n{sha.upper()}  some file.mp4\ndir/with space.mp4\n", encoding="utf-8"
    )
    assert (
        read_exclusions(tmp_path / "list.json") == read_exclusions(tmp_path / "list.txt") == {sha, "dir/with space.mp4"}
    )
    assert read_exclusions(None) == frozenset()


@pytest.mark.parametrize("content", ["[1, 2]", "[", None])
def test_bad_exclusion_lists_are_clear_errors(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match=r"list\.json"):
        read_exclusions(path)
