"""Videos and a store of them, made once for all tests that only read them."""

from pathlib import Path

import pytest
from clip_folders import write_folder

from trisep.store.prepare import PrepareSettings, prepare


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("videos"), 5)


@pytest.fixture(scope="session")
def store_path(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of five clips in three shards; tests that change it copy it first."""
    out = tmp_path_factory.mktemp("store") / "store"
    prepare(videos, out, PrepareSettings(files_per_shard=2, short_side=32, num_workers=1))
    return out
