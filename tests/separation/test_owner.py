"""Whose an output folder is, where its report lies."""

import json
import os
from pathlib import Path

import pytest

from trisep.errors import MediaError
from trisep.separation.owner import REPORT, earlier_files


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


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"input": "a", "stems": 1}', "[" * 100_000])
def test_a_report_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / REPORT).write_text(content)
    with pytest.raises(MediaError, match=r"report.json: is not a report of trisep; choose another output folder"):
        earlier_files(tmp_path, ["dog.wav"], tmp_path / "a.mp4")
