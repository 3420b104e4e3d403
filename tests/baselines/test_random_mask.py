"""Random masks: how their values are spread, and alike to how many neighbours they are."""

import numpy as np
import pytest
import scipy.stats
import torch

from trisep.baselines.random_mask import Config, estimate, random_masks
from trisep.spectrogram.stft import stft
from trisep.types import SignalSettings


def test_for_two_sources_each_mask_is_uniform() -> None:
    masks = random_masks(2, 50, 60, np.random.default_rng(3))
    np.testing.assert_allclose(masks.sum(axis=0), 1)
    assert all(scipy.stats.kstest(mask.ravel(), "uniform").pvalue > 0.05 for mask in masks)


def test_for_three_sources_no_mask_is_preferred() -> None:
    masks = random_masks(3, 50, 60, np.random.default_rng(4))
    np.testing.assert_allclose(masks.sum(axis=0), 1)
    # One coordinate of a point on the flat triangle is Beta(1, 2).
    assert all(scipy.stats.kstest(mask.ravel(), scipy.stats.beta(1, 2).cdf).pvalue > 0.05 for mask in masks)


@pytest.mark.parametrize("grid", ["log", "linear"])
def test_three_sources_get_a_third_each(grid: str, signal: SignalSettings) -> None:
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    estimates = estimate(
        noise, num_sources=3, generator=np.random.default_rng(4), signal=signal, config=Config(grid=grid)
    )  # type: ignore[arg-type]
    shares = estimates @ noise / (noise @ noise)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)


def test_neighbouring_high_bins_are_alike_on_the_log_grid(signal: SignalSettings) -> None:
    # The lowest 100 Hz span 6 bins and 18 rows, the highest 100 Hz 6 bins and a single row: there the mask has to be
    # smooth.
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    steps = {}
    for grid in ("log", "linear"):
        separated = estimate(
            noise, num_sources=2, generator=np.random.default_rng(5), signal=signal, config=Config(grid=grid)
        )  # type: ignore[arg-type]
        gain = (stft(torch.from_numpy(separated[0]), signal) / stft(torch.from_numpy(noise), signal)).real
        steps[grid] = float(gain[-100:-1].diff(dim=0).abs().median())
    assert 0 < steps["log"] < 0.85 * steps["linear"]
