"""Low rank and sparse parts: found again where they are known, and heard apart in a sound."""

import numpy as np
import pytest
import torch

from trisep.baselines.rpca import Config, decompose, estimate
from trisep.errors import ConfigError
from trisep.metrics import si_sdr
from trisep.types import SignalSettings


@pytest.mark.parametrize("shape", [(80, 60), (60, 80)])
def test_a_low_rank_and_a_sparse_matrix_are_found_again(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    low_rank = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    sparse = np.where(rng.random(shape) < 0.05, rng.uniform(-10, 10, shape), 0)
    found_low_rank, found_sparse = (part.numpy() for part in decompose(torch.from_numpy(low_rank + sparse)))
    assert np.linalg.norm(found_low_rank - low_rank) < 1e-5 * np.linalg.norm(low_rank)
    assert np.linalg.norm(found_sparse - sparse) < 1e-5 * np.linalg.norm(sparse)
    assert np.linalg.matrix_rank(found_low_rank, tol=1e-3) == 3


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_the_weight_of_the_sparse_part_is_one_over_the_root_of_the_longer_side(shape: tuple[int, int]) -> None:
    # The first of the solver's steps, written out with λ = 1/√9 from a start at zero.
    matrix, weight = np.random.default_rng(4).standard_normal(shape), 1 / 3
    spectral_norm = np.linalg.norm(matrix, 2)
    dual = matrix / max(spectral_norm, np.abs(matrix).max() / weight)
    shifted = matrix + dual * spectral_norm / 1.25
    expected = np.sign(shifted) * np.maximum(np.abs(shifted) - weight * spectral_norm / 1.25, 0)
    sparse = decompose(torch.from_numpy(matrix), Config(max_iterations=1))[1]
    assert 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_allclose(sparse.numpy(), expected, rtol=1e-12)


def test_the_iteration_stops_where_it_is_told() -> None:
    matrix = torch.from_numpy(np.random.default_rng(1).random((20, 30)))
    exact, early = (torch.stack(decompose(matrix, Config(max_iterations=number))).sum(dim=0) for number in (1000, 3))
    assert (exact - matrix).abs().max() < 1e-6
    assert (early - matrix).abs().max() > 1e-3


def scene(signal: SignalSettings) -> np.ndarray:
    """A steady chord, and a voice that comes and goes, glides and trembles: one spectrum all the time, and one that
    never returns.
    """
    time = np.arange(20000) / signal.sample_rate_hz
    chord = sum(np.sin(2 * np.pi * frequency * time) for frequency in (250, 500, 1000, 1500))
    voice = np.sin(2 * np.pi * (600 * time + 400 * time**2) + 8 * np.sin(2 * np.pi * 5 * time)) * (
        np.sin(3 * np.pi * time) > 0
    )
    return (0.05 * np.stack([chord, voice])).astype(np.float32)


@pytest.mark.parametrize("mask", ["binary", "soft"])
def test_a_voice_over_a_steady_chord_comes_apart(mask: str, signal: SignalSettings) -> None:
    references = scene(signal)
    mixture = references.sum(axis=0)
    estimates = estimate(mixture, signal=signal, config=Config(mask=mask))  # type: ignore[arg-type]
    before = si_sdr(reference=references, estimate=np.stack([mixture] * 2))
    assert (si_sdr(reference=references, estimate=estimates) > before + 10).all()


def test_more_gain_gives_less_to_the_sparse_part(signal: SignalSettings) -> None:
    mixture = scene(signal).sum(axis=0)[:8000]
    powers = [
        float(np.mean(estimate(mixture, signal=signal, config=Config(gain=gain))[1] ** 2)) for gain in (0.5, 1.0, 2.0)
    ]
    assert powers[0] > powers[1] > powers[2]


@pytest.mark.parametrize(
    ("settings", "message"), [({"gain": 0.0}, "greater than 0"), ({"max_iterations": 0}, "greater than 0")]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)  # type: ignore[arg-type]
