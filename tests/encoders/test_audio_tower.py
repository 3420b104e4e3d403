"""The audio tower's network and spectrogram, against formulas and properties; its weights are not needed."""

import math

import numpy as np
import pytest
import torch

from trisep.encoders.audio_tower import FRAMES_PER_STEP, NUM_CLASSES, AudioTowerNetwork, log_mel
from trisep.encoders.mel import mel_triangles


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> AudioTowerNetwork:
    torch.manual_seed(0)
    return AudioTowerNetwork().eval()


@pytest.mark.parametrize(("num_samples", "num_steps"), [(1, 1), (300, 1), (4096, 1), (4352, 2), (49152, 12)])
def test_one_embedding_for_every_sixteen_frames(network, num_samples: int, num_steps: int) -> None:
    with torch.no_grad():
        embeddings = network(log_mel(noise(2, num_samples)))
    assert embeddings.shape == (2, num_steps, 256)
    assert torch.isfinite(network.classify(embeddings)).all()
    assert network.classify(embeddings).shape == (2, num_steps, NUM_CLASSES)


def test_the_spectrogram_of_silence_and_of_a_tone() -> None:
    silence = log_mel(torch.zeros(1, 8192))
    assert silence.shape == (1, 64, 32)
    torch.testing.assert_close(silence, torch.full_like(silence, (math.log(1e-3) - 2) / 4))
    tone = torch.sin(2 * math.pi * 1000 / 16000 * torch.arange(16000.0))[None]
    mel = lambda hz: 1127 * math.log1p(hz / 700)  # noqa: E731
    expected_band = round(mel(1000) / (mel(8000) / 65)) - 1
    loudest = log_mel(tone)[0, :, 20:40].mean(dim=1)
    assert int(loudest.argmax()) == expected_band


def test_a_shift_by_whole_steps_shifts_the_embeddings(network) -> None:
    picture = torch.randn(1, 64, 40 * FRAMES_PER_STEP, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, later = network(picture), network(picture[..., 4 * FRAMES_PER_STEP :])
    torch.testing.assert_close(whole[:, 14:-10], later[:, 10:-10], rtol=0, atol=1e-5)


def test_mel_bands_are_triangles_that_overlap_by_half() -> None:
    bands = mel_triangles(64, window_samples=1024, sample_rate_hz=16000, top_hz=8000).numpy()
    assert bands.shape == (64, 513)
    assert (bands.max(axis=1) > 0.3).all()
    peaks = bands.argmax(axis=1)
    assert (np.diff(peaks) > 0).all()
    np.testing.assert_allclose(bands.sum(axis=0)[peaks[0] : peaks[-1]], 1.0, atol=1e-6)
