"""Ideal masks against scipy and the formula: what sources they part, and what they refuse."""

import numpy as np
import pytest
import scipy.signal

from trisep.baselines.ideal_mask import Config, estimate
from trisep.errors import ConfigError
from trisep.metrics import si_sdr
from trisep.types import SignalSettings


@pytest.mark.parametrize("mask", ["ratio", "binary"])
@pytest.mark.parametrize("grid", ["linear", "log"])
def test_sources_without_common_frequencies_come_apart(
    mask: str, grid: str, sources: np.ndarray, signal: SignalSettings
) -> None:
    config = Config(mask=mask, grid=grid)  # type: ignore[arg-type]
    estimates = estimate(sources.sum(axis=0), references=sources, signal=signal, config=config)
    assert (si_sdr(reference=sources, estimate=estimates) > 15).all()


@pytest.mark.parametrize("mask", ["ratio", "binary"])
def test_the_linear_masks_equal_scipys_transforms_and_the_formula(mask: str, signal: SignalSettings) -> None:
    rng = np.random.default_rng(7)
    references, noise = 0.1 * rng.standard_normal((2, 6000)), 0.05 * rng.standard_normal(6000)
    mixture = references.sum(axis=0) + noise
    grid = {"window": "hann", "nperseg": 1024, "noverlap": 768}
    total, *parts = (scipy.signal.stft(sound, **grid)[2] for sound in (mixture, *references, noise))
    sizes = np.abs(parts)
    masks = sizes / sizes.sum(axis=0) if mask == "ratio" else sizes > np.abs(total) / 2
    restored = np.stack([scipy.signal.istft(one * total, **grid)[1] for one in masks[:2]])
    estimates = estimate(mixture, references=references, signal=signal, config=Config(mask=mask))  # type: ignore[arg-type]
    # scipy pads the end by a few frames more, which no sample before the last half window reads.
    np.testing.assert_allclose(estimates[:, :5400], restored[:, :5400], atol=1e-6)


def test_sound_beyond_the_references_counts_as_another_source(sources: np.ndarray, signal: SignalSettings) -> None:
    alone = estimate(sources.sum(axis=0), references=sources[:1], signal=signal)
    np.testing.assert_allclose(alone[0], estimate(sources.sum(axis=0), references=sources, signal=signal)[0], atol=1e-6)


def test_a_source_that_is_the_mixture_comes_back(sources: np.ndarray, signal: SignalSettings) -> None:
    np.testing.assert_allclose(estimate(sources[0], references=sources[:1], signal=signal), sources[:1], atol=1e-6)


def test_the_log_grid_is_no_better_than_the_linear_one_on_noise(signal: SignalSettings) -> None:
    references = np.random.default_rng(8).standard_normal((2, 16000)).astype(np.float32) * np.float32(0.1)
    linear, log = (
        si_sdr(
            reference=references,
            estimate=estimate(references.sum(axis=0), references=references, signal=signal, config=Config(grid=grid)),
        )
        for grid in ("linear", "log")
    )
    assert (linear > log).all() and (log > 0).all()


def test_references_of_another_length_are_refused(
    sources: np.ndarray, signal: SignalSettings, unchecked_shapes: None
) -> None:
    with pytest.raises(ValueError, match=r"references: expected 100 samples, as the mixture has, got 24000"):
        estimate(sources[0, :100], references=sources, signal=signal)


def test_an_unknown_mask_is_refused(unchecked_shapes: None) -> None:
    with pytest.raises(ConfigError, match="expected mask ratio or binary on grid linear or log, got wiener on linear"):
        Config(mask="wiener")  # type: ignore[arg-type]
