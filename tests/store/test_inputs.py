"""Which files a folder offers, which are left out, and which are the same."""

import json
import os
from pathlib import Path

import pytest

from trisep.errors import MediaError, StoreError
from trisep.store.inputs import InputFile, find_duplicates, inputs_digest, list_inputs, read_exclusions


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
