"""A page that runs, and files to send it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from web_page import Served

from trisep.media.audio import write_audio
from trisep.types import Audio
from trisep.web.settings import WebSettings, bundled_sample


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page with the default model, small limits, and a temporary folder of its own."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("temporary"))
    try:
        settings = WebSettings(max_upload_bytes=3_000_000, max_seconds=20.0, device="cpu", max_sessions=24)
        page = Served(settings)
        yield page
        page.stop()
        assert list(Path(tempfile.gettempdir()).iterdir()) == []
    finally:
        tempfile.tempdir = before


@pytest.fixture(scope="session")
def sample() -> Path:
    """The bundled video: a dog and a trumpet."""
    path = bundled_sample()
    assert path is not None
    return path


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second of noise, as a wav file."""
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    samples = np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32)
    write_audio(path, Audio(samples, 16000), subtype="wav_float32")
    return path.read_bytes()
