"""Whose an output folder is, where its report lies."""

import json
import os
from pathlib import Path

import pytest

from trisep.errors import MediaError
from trisep.separation.owner import REPORT, earlier_files, from_here


def test_a_report_that_claims_the_input_does_not_give_it_up(tmp_path: Path) -> None:
    source = tmp_path / "dog.wav"
    source.write_text("sound")
    report = {"input": str(source), "stems": [{"file": "dog.wav"}, {"file": "cat.wav"}]}
    (tmp_path / REPORT).write_text(json.dumps(report))
    assert earlier_files(tmp_path, ["cat.wav"], source) == ["cat.wav"]
    with pytest.raises(MediaError, match=r"dog.wav: is there already and no earlier result"):
        earlier_files(tmp_path, ["dog.wav"], source)


@pytest.mark.parametrize("name", ["dog.wav", REPORT])
def test_what_is_no_regular_file_is_not_replaced_either(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(MediaError, match=f"{name}: is "):
        earlier_files(tmp_path, ["dog.wav"], tmp_path / "a.mp4")


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "dog.wav").symlink_to("gone.wav")
    with pytest.raises(MediaError, match=r"dog.wav: is there already"):
        earlier_files(tmp_path, ["dog.wav"], tmp_path / "a.mp4")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"input": "a", "stems": 1}', "[" * 100_000])
def test_a_report_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / REPORT).write_text(content)
    with pytest.raises(MediaError, match=r"report.json: is not a report of trisep; choose another output folder"):
        earlier_files(tmp_path, ["dog.wav"], tmp_path / "a.mp4")


def test_a_name_that_another_file_has_elsewhere_gives_no_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("monday", "tuesday", "out"):
        (tmp_path / name).mkdir()
    for day in ("monday", "tuesday"):
        (tmp_path / day / "clip.mp4").write_text(day)
    out, source = tmp_path / "out", Path("clip.mp4")
    monkeypatch.chdir(tmp_path / "monday")
    report = {"input": "clip.mp4", **from_here(out, source), "stems": [{"file": "dog.wav"}]}
    (out / REPORT).write_text(json.dumps(report))
    assert earlier_files(out, ["dog.wav"], source) == earlier_files(Path("../out"), ["dog.wav"], source) == ["dog.wav"]
    monkeypatch.chdir(tmp_path / "tuesday")
    with pytest.raises(MediaError, match=rf"holds the stems of {tmp_path}/monday/clip.mp4; choose another output"):
        earlier_files(out, ["dog.wav"], source)
    assert earlier_files(out, ["dog.wav"], tmp_path / "monday" / "clip.mp4") == ["dog.wav"]


def test_stems_that_were_moved_with_their_input_are_still_its_own(tmp_path: Path) -> None:
    source, out = tmp_path / "old" / "clip.mp4", tmp_path / "old" / "out"
    out.mkdir(parents=True)
    source.write_text("x")
    report = {"input": str(source), **from_here(out, source), "stems": [{"file": "dog.wav"}]}
    (out / REPORT).write_text(json.dumps(report))
    (tmp_path / "old").rename(tmp_path / "new")
    assert earlier_files(tmp_path / "new" / "out", ["dog.wav"], tmp_path / "new" / "clip.mp4") == ["dog.wav"]
    (tmp_path / "new" / "out").rename(tmp_path / "out")
    with pytest.raises(MediaError, match=f"holds the stems of {source}"):
        earlier_files(tmp_path / "out", ["dog.wav"], tmp_path / "new" / "clip.mp4")


def test_sounds_in_memory_are_known_by_their_hash(tmp_path: Path) -> None:
    report = {"input": None, "input_sha256": "a", "stems": [{"file": "dog.wav"}]}
    (tmp_path / REPORT).write_text(json.dumps(report))
    (tmp_path / "cat.wav").write_text("mine")
    assert earlier_files(tmp_path, ["dog.wav"], None, sha256="a") == ["dog.wav"]
    with pytest.raises(
        MediaError,
        match=r"holds the stems of another sound in memory; choose another output folder, or replace them with "
        r"OutputOptions\(replaces=True\)",
    ):
        earlier_files(tmp_path, ["dog.wav"], None, sha256="b")
    with pytest.raises(MediaError, match="holds the stems of a sound in memory; choose another output folder$"):
        earlier_files(tmp_path, ["dog.wav"], tmp_path / "a.mp4")
    assert earlier_files(tmp_path, ["dog.wav"], None, sha256="b", replaces=True) == ["dog.wav"]
    with pytest.raises(MediaError, match=r"cat.wav: is there already and no earlier result"):
        earlier_files(tmp_path, ["cat.wav"], None, sha256="b", replaces=True)
    # Reports of older versions do not say which sound it was.
    (tmp_path / REPORT).write_text(json.dumps({"input": None, "stems": [{"file": "dog.wav"}]}))
    with pytest.raises(MediaError, match="another sound in memory"):
        earlier_files(tmp_path, ["dog.wav"], None, sha256="a")
    (tmp_path / REPORT).write_text(json.dumps({"input": "b.mp4", "stems": [{"file": "dog.wav"}]}))
    with pytest.raises(MediaError, match=r"holds the stems of b.mp4; choose another output folder, or replace"):
        earlier_files(tmp_path, ["dog.wav"], None, sha256="a")


def test_a_link_to_the_folder_is_the_folder(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er" / "out").mkdir(parents=True)
    (tmp_path / "clip.mp4").write_text("x")
    (tmp_path / "link").symlink_to("deep/er/out")
    assert from_here(tmp_path / "link", tmp_path / "clip.mp4") == {"input_from_here": "../../../clip.mp4"}
    assert from_here(tmp_path, None) == from_here(tmp_path, tmp_path / "clip.mp4", "standard input") == {}
