"""`benchmarks/music_walk.py` in small: from published lists to scores by the commands that the docs print."""

import json
from pathlib import Path

import pytest

from trisep.encoders import load_encoder
from trisep.encoders.clip_files import PLACE_VARIABLE

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_road_from_lists_to_scores_is_walked_by_the_printed_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setenv(PLACE_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    load_encoder.cache_clear()
    import music_walk

    music_walk.main(["--small", "--folder", str(tmp_path / "walk")])
    load_encoder.cache_clear()
    found = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "walk" / "scores").glob("*/*.json")}
    assert set(found) == {"clipsep", "clipsep-text", "vast", "vast-boxes", "duets"}
    assert all(scores["num_mixtures"] == 2 and scores["table"] for scores in found.values())
    pairs = {name: (tmp_path / "walk" / "scores" / name / "pairs.csv").read_text() for name in ("vast", "duets")}
    assert "duet" not in pairs["vast"] and "violin_xxx" not in pairs["duets"] and "duet_vivi_1" in pairs["duets"]
    printed = capsys.readouterr().out
    assert "trisep evaluate vast/model --data lists --media videos --workers 1 --protocol vast --query" in printed
    assert (
        "evaluate run/model --data lists --media videos --protocol vast --query"
        in (ROOT / "docs" / "vast.md").read_text()
    )
