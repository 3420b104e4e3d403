"""Two sources with sound and picture, and an encoder in the place of the one that a checkpoint names."""

from pathlib import Path

import pytest
from clip_folders import write_clip
from evaluated import ColoursAndWords

import trisep.evaluation.queries
from trisep.protocols import ProtocolSource


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> ColoursAndWords:
    """Loaded whatever a checkpoint names; nothing that another test embedded is remembered."""
    loaded = ColoursAndWords()
    monkeypatch.setattr(trisep.evaluation.queries, "load_encoder", lambda _: loaded)
    for cached in ("_mean", "_regions", "_region", "_found", "_list"):
        getattr(trisep.evaluation.queries, cached).cache_clear()
    return loaded


@pytest.fixture
def sources(tmp_path: Path) -> tuple[ProtocolSource, ProtocolSource]:
    """A dog and rain, a second each."""
    for number, name in enumerate(("one", "two")):
        write_clip(tmp_path / f"{name}.mp4", seconds=1.0, seed=4 * number)
    return ProtocolSource(path=tmp_path / "one.mp4", label="dog"), ProtocolSource(
        path=tmp_path / "two.mp4", label="rain"
    )
