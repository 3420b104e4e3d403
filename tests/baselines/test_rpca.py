import numpy as np
import pytest

from trisep.baselines.rpca import Config, decompose, estimate
from trisep.errors import ConfigError
from trisep.metrics import si_sdr
from trisep.types import SignalSettings


@pytest.mark.parametrize("shape", [(80, 60), (60, 80)])
def test_a_low_rank_and_a_sparse_matrix_are_found_again(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    low_rank = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    sparse = np.where(rng.random(shape) < 0.05, rng.uniform(-10, 10, shape), 0)
    found_low_rank, found_sparse = decompose(low_rank + sparse)
    assert np.linalg.norm(found_low_rank - low_rank) < 1e-5 * np.linalg.norm(low_rank)
    assert np.linalg.norm(found_sparse - sparse) < 1e-5 * np.linalg.norm(sparse)
    assert np.linalg.matrix_rank(found_low_rank, tol=1e-3) == 3


def test_the_iteration_stops_where_it_is_told(signal: SignalSettings) -> None:
    matrix = np.random.default_rng(1).random((20, 30))
    exact, early = (sum(decompose(matrix, Config(max_iterations=number))) for number in (1000, 3))
    np.testing.assert_allclose(exact, matrix, atol=1e-6)
    assert np.abs(early - matrix).max() > 1e-3


def scene(signal: SignalSettings) -> np.ndarray:
    """A chord that beats on and off, and a gliding voice: one spectrum again and again, and one that never returns."""
    time = np.arange(24000) / signal.sample_rate_hz
    chord = sum(np.sin(2 * np.pi * frequency * time) for frequency in (250, 500, 1000, 1500)) * (1 + np.sin(2 * np.pi * 4 * time))
    voice = 1.5 * np.sin(2 * np.pi * (600 * time + 900 * time**2))
    return (0.05 * np.stack([chord, voice])).astype(np.float32)


@pytest.mark.parametrize("mask", ["binary", "soft"])
def test_a_voice_over_a_steady_chord_comes_apart(mask: str, signal: SignalSettings) -> None:
    references = scene(signal)
    mixture = references.sum(axis=0)
    estimates = estimate(mixture, signal=signal, config=Config(mask=mask))  # type: ignore[arg-type]
    before = si_sdr(reference=references, estimate=np.stack([mixture] * 2))
    assert (si_sdr(reference=references, estimate=estimates) > before + 6).all()


def test_more_gain_gives_less_to_the_sparse_part(signal: SignalSettings) -> None:
    mixture = scene(signal).sum(axis=0)[:8000]
    powers = [float(np.mean(estimate(mixture, signal=signal, config=Config(gain=gain))[1] ** 2)) for gain in (0.5, 1.0, 2.0)]
    assert powers[0] > powers[1] > powers[2]


@pytest.mark.parametrize(("settings", "message"), [({"gain": 0.0}, "greater than 0"), ({"max_iterations": 0}, "greater than 0")])
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)  # type: ignore[arg-type]
