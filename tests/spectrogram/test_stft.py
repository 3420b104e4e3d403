"""The transform against numpy frame by frame, and back."""

import numpy as np
import pytest
import scipy.signal
import torch

from trisep.spectrogram.stft import istft, num_frames, stft
from trisep.types import SignalSettings

SETTINGS = SignalSettings()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_samples", [300, 1024, 4095, 65535])
def test_the_inverse_gives_the_sound_back(num_samples: int) -> None:
    sound = noise(2, num_samples)
    spectrum = stft(sound, SETTINGS)
    assert spectrum.shape == (2, 513, num_frames(num_samples, SETTINGS))
    assert (istft(spectrum, SETTINGS, num_samples) - sound).abs().max() < 1e-5


def test_a_training_clip_has_256_frames() -> None:
    assert num_frames(SETTINGS.clip_samples, SETTINGS) == 256
    assert [num_frames(count, SETTINGS) for count in (0, 255, 256, 511, 512)] == [1, 1, 2, 2, 3]


def test_it_is_the_transform_that_numpy_computes_frame_by_frame() -> None:
    sound = noise(3000).double().numpy()
    padded = np.pad(sound, 512)
    window = scipy.signal.get_window("hann", 1024)
    expected = np.stack(
        [np.fft.rfft(padded[start : start + 1024] * window) for start in range(0, 3000 + 1, 256)], axis=1
    )
    np.testing.assert_allclose(stft(torch.from_numpy(sound), SETTINGS).numpy(), expected, atol=1e-10)


def test_a_tone_stands_in_its_bin() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    spectrum = stft(tone, SETTINGS).abs()[:, 30]
    assert int(spectrum.argmax()) == 64
    assert float(spectrum[64]) == pytest.approx(256, rel=1e-4)  # half the sum of the window's samples


def test_leading_axes_are_kept_and_computed_apart() -> None:
    sounds = noise(2, 3, 2000)
    spectrum = stft(sounds, SETTINGS)
    assert spectrum.shape == (2, 3, 513, 8)
    torch.testing.assert_close(spectrum[1, 2], stft(sounds[1, 2], SETTINGS))
    assert istft(spectrum, SETTINGS, 2000).shape == (2, 3, 2000)


def test_silence_before_a_sound_moves_its_frames_and_changes_nothing_else() -> None:
    sound = noise(4096)
    later = torch.cat([torch.zeros(2 * 256), sound])
    torch.testing.assert_close(stft(later, SETTINGS)[:, 2:], stft(sound, SETTINGS))
