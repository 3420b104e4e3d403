"""One store of a few tones for all tests of the analyses."""

from pathlib import Path

import pytest
from training_stores import make_store


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of 2 s, embedded with noise of 384 dimensions."""
    return make_store(tmp_path_factory.mktemp("analyses"), num_clips=8)
