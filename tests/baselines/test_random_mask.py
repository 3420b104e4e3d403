import numpy as np
import pytest
import torch

from trisep.baselines.random_mask import Config, estimate
from trisep.spectrogram.stft import stft
from trisep.types import SignalSettings


def test_for_two_sources_the_mask_is_uniform(signal: SignalSettings) -> None:
    # An impulse far from all others has a flat spectrum in one frame, from which the mask can be read where windows do not overlap.
    spaced = SignalSettings(hop_samples=signal.window_samples // 2)
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    estimates = estimate(noise, num_sources=2, generator=np.random.default_rng(3), signal=spaced, config=Config(grid="linear"))
    share = np.mean(estimates[0].astype(np.float64) ** 2) / np.mean(noise.astype(np.float64) ** 2)
    # Uniform masks have mean square 1/3 and variance 1/12; re-analysis of overlapping frames averages part of the variance away.
    assert 1 / 4 < share < 1 / 3


@pytest.mark.parametrize("grid", ["log", "linear"])
def test_three_sources_get_a_third_each(grid: str, signal: SignalSettings) -> None:
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    estimates = estimate(noise, num_sources=3, generator=np.random.default_rng(4), signal=signal, config=Config(grid=grid))  # type: ignore[arg-type]
    shares = estimates @ noise / (noise @ noise)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)


def test_masks_on_the_log_grid_are_smooth_where_its_rows_are_wide_apart(signal: SignalSettings) -> None:
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    steps = {}
    for grid in ("log", "linear"):
        separated = estimate(noise, num_sources=2, generator=np.random.default_rng(5), signal=signal, config=Config(grid=grid))  # type: ignore[arg-type]
        ratio = stft(torch.from_numpy(separated[0]), signal).abs() / stft(torch.from_numpy(noise), signal).abs()
        steps[grid] = float(ratio[:20].diff(dim=0).abs().median())
    assert 0 < steps["log"] < 0.6 * steps["linear"]
