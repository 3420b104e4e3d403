"""NMF with grouping by cepstra: the factorisation, the mel bands, the cepstra and the grouping, each by itself."""

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from trisep.baselines import best_order
from trisep.baselines.nmf_mfcc import Config, cepstra, estimate, factorize, group, mel_bands, update
from trisep.errors import ConfigError
from trisep.metrics import si_sdr
from trisep.spectrogram.stft import stft
from trisep.types import SignalSettings


def bursts(bands_hz: list[tuple[int, int]], num_bursts: int, rng: np.random.Generator) -> np.ndarray:
    """One second of noise bursts, each through one of an instrument's filters, seven in ten sounding; RMS 0.1."""
    filtered = [
        scipy.signal.sosfilt(
            scipy.signal.butter(4, band, "bandpass", fs=16000, output="sos"), rng.standard_normal(16000)
        )
        for band in bands_hz
    ]
    length = 16000 // num_bursts
    sound = np.zeros(16000)
    for start in range(0, length * num_bursts, length):
        part = slice(start, start + length)
        sound[part] = filtered[rng.integers(len(bands_hz))][part] * np.hanning(length) * (rng.random() < 0.7)
    return (0.1 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def kl_divergence(V: Tensor, approximation: Tensor) -> float:
    """Σ V log(V / X) − V + X, with 0 log 0 = 0."""
    return float((torch.special.xlogy(V, V) - torch.special.xlogy(V, approximation) - V + approximation).sum())


def test_the_divergence_never_rises(sources: np.ndarray, signal: SignalSettings) -> None:
    V = stft(torch.from_numpy(sources.sum(axis=0)[:8000]), signal).abs().double()
    V[:, :3] = 0
    rng = np.random.default_rng(0)
    W, H = torch.from_numpy(rng.random((len(V), 6))), torch.from_numpy(rng.random((6, V.shape[1])))
    trace = [kl_divergence(V, W @ H)]
    for _ in range(60):
        W, H = update(V, W, H)
        trace.append(kl_divergence(V, W @ H + 1e-12))
    assert (np.diff(trace) <= 1e-9 * trace[0]).all()
    assert trace[-1] < 0.2 * trace[0]


def test_an_exact_product_is_found_again() -> None:
    rng = np.random.default_rng(1)
    V = torch.from_numpy(rng.random((30, 3)) * (rng.random((30, 3)) > 0.6) @ rng.random((3, 40)) + 1e-3)
    W, H = factorize(V, 4, 400, rng)
    np.testing.assert_allclose(W.sum(dim=0), 1)
    assert (W >= 0).all() and (H >= 0).all()
    assert torch.linalg.matrix_norm(V - W @ H) < 0.02 * torch.linalg.matrix_norm(V)


def test_mel_bands_have_unit_area_and_rising_centres(signal: SignalSettings) -> None:
    bands = mel_bands(20, signal)
    np.testing.assert_allclose(bands.sum(axis=1) * signal.sample_rate_hz / signal.window_samples, 1, atol=0.05)
    assert (np.diff(bands.argmax(axis=1)) > 0).all()
    # 1000 mel is 1000 Hz: the band whose centre lies there, of 20 that reach 2840 mel, is between the 7th and the 8th.
    assert bands[6].argmax() * 15.625 < 1000 < bands[7].argmax() * 15.625


def test_cepstra_know_colour_and_not_level(signal: SignalSettings) -> None:
    dark, bright = np.exp(-np.arange(513) / 30), np.exp((np.arange(513) - 513) / 30)
    features = cepstra(np.stack([dark, bright, dark], axis=1), signal)
    assert features.shape == (3, 9)
    np.testing.assert_array_equal(features[0], features[2])
    assert np.linalg.norm(features[0] - features[1]) > 1


def test_clouds_far_apart_are_grouped_and_the_tightest_grouping_wins() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat([0, 1, 2], 8)
    features = 10 * np.array([[0, 0], [1, 0], [0, 3]])[truth] + rng.standard_normal((24, 2))
    labels = group(features, 3, 10, rng)
    assert len(set(zip(truth.tolist(), labels.tolist(), strict=True))) == 3
    assert set(labels.tolist()) == {0, 1, 2}


def test_equal_rows_are_grouped_without_complaint() -> None:
    labels = group(np.ones((5, 2)), 3, 4, np.random.default_rng(0))
    assert len(set(labels.tolist())) == 1


@pytest.mark.parametrize("seed", [0, 1])
def test_two_instruments_of_different_colour_come_apart(seed: int, signal: SignalSettings) -> None:
    rng = np.random.default_rng(0)
    sources = np.stack([bursts([(200, 500), (300, 900)], 9, rng), bursts([(3000, 5000), (4000, 6500)], 7, rng)])
    mixture = sources.sum(axis=0)
    estimates = estimate(
        mixture, num_sources=2, generator=np.random.default_rng(seed), signal=signal, config=Config(num_iterations=40)
    )
    ordered = estimates[best_order(references=sources, estimates=estimates)]
    before = si_sdr(reference=sources, estimate=np.stack([mixture] * 2))
    assert (si_sdr(reference=sources, estimate=ordered) > before + 3).all()


def test_more_sources_than_components_are_refused(sources: np.ndarray, signal: SignalSettings) -> None:
    with pytest.raises(ConfigError, match=r"num_sources: expected 1 to 2 \(num_components\), got 3"):
        estimate(
            sources[0],
            num_sources=3,
            generator=np.random.default_rng(0),
            signal=signal,
            config=Config(num_components=2),
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_iterations": 0}, "at least 1"), ({"num_coefficients": 21}, "at most num_mel_bands, 20")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)  # type: ignore[arg-type]
