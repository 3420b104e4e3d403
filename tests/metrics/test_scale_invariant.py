"""SNR and SI-SDR against hand-worked values and their invariances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mir_eval import separation as oracle

from trisep.metrics import energy_ratio_db, si_sdr, snr


def _pair(seed: int, shape: tuple[int, ...] = (200,)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    reference = generator.standard_normal(shape)
    return reference, reference + 0.3 * generator.standard_normal(shape)


def test_snr_by_hand() -> None:
    reference = np.array([3.0, 4.0])
    np.testing.assert_allclose(snr(reference=reference, estimate=np.array([3.0, 4.5])), 20.0)
    np.testing.assert_allclose(snr(reference=reference, estimate=reference / 2), 20 * np.log10(2.0))
    assert snr(reference=reference, estimate=reference) == np.inf


@pytest.mark.filterwarnings("ignore:mir_eval.separation:FutureWarning")
def test_snr_is_the_sdr_of_bss_eval_images() -> None:
    reference, estimate = _pair(3, (2, 1500))
    expected = oracle.bss_eval_images(reference[..., np.newaxis], estimate[..., np.newaxis], compute_permutation=False)[
        0
    ]
    np.testing.assert_allclose(snr(reference=reference, estimate=estimate), expected, rtol=0, atol=1e-9)


def test_si_sdr_by_hand() -> None:
    # α = 10, αs = (10, 0), the rest is (0, 1): 10·log10(100 / 1).
    np.testing.assert_allclose(si_sdr(reference=np.array([1.0, 0.0]), estimate=np.array([10.0, 1.0])), 20.0)
    assert si_sdr(reference=np.array([1.0, 0.0]), estimate=np.array([0.0, 1.0])) == -np.inf


def test_si_sdr_keeps_the_mean_unless_told() -> None:
    reference, estimate = _pair(0)
    shifted = estimate + 1.0
    assert si_sdr(reference=reference, estimate=shifted) < si_sdr(reference=reference, estimate=estimate) - 5.0
    np.testing.assert_allclose(
        si_sdr(reference=reference, estimate=shifted, zero_mean=True),
        si_sdr(reference=reference - reference.mean(), estimate=estimate - estimate.mean()),
    )


def test_the_mean_of_each_row_is_its_own() -> None:
    reference, estimate = _pair(5, (3, 40))
    offsets = np.array([[1.0], [-20.0], [300.0]])
    rows = [
        si_sdr(reference=one, estimate=other, zero_mean=True) for one, other in zip(reference, estimate, strict=True)
    ]
    together = si_sdr(reference=reference - offsets, estimate=estimate + offsets, zero_mean=True)
    np.testing.assert_allclose(together, rows, rtol=0, atol=1e-8)


@given(seed=st.integers(0, 1000), gain_db=st.floats(-80, 80), negative=st.booleans())
def test_si_sdr_ignores_scale_and_sign(seed: int, gain_db: float, negative: bool) -> None:
    reference, estimate = _pair(seed)
    gain = 10 ** (gain_db / 20) * (-1 if negative else 1)
    expected = si_sdr(reference=reference, estimate=estimate)
    np.testing.assert_allclose(si_sdr(reference=reference, estimate=gain * estimate), expected, atol=1e-9)
    np.testing.assert_allclose(si_sdr(reference=gain * reference, estimate=estimate), expected, atol=1e-9)
    assert si_sdr(reference=reference, estimate=gain * reference) == np.inf


@given(seed=st.integers(0, 1000), gain_db=st.floats(-80, 80))
def test_snr_ignores_only_a_common_scale(seed: int, gain_db: float) -> None:
    reference, estimate = _pair(seed)
    gain = 10 ** (gain_db / 20)
    expected = snr(reference=reference, estimate=estimate)
    np.testing.assert_allclose(snr(reference=gain * reference, estimate=gain * estimate), expected, atol=1e-9)


def test_leading_axes_and_float32_are_scored_row_by_row_in_float64() -> None:
    reference, estimate = _pair(4, (2, 3, 50))
    for metric in (snr, si_sdr):
        batch = metric(reference=reference.astype(np.float32), estimate=estimate.astype(np.float32))
        assert batch.shape == (2, 3) and batch.dtype == np.float64
        row = metric(reference=reference[1, 2].astype(np.float32), estimate=estimate[1, 2].astype(np.float32))
        np.testing.assert_allclose(batch[1, 2], row, rtol=1e-12)


@pytest.mark.parametrize("metric", [snr, si_sdr])
def test_silence_is_undefined_not_a_number_of_decibels(metric) -> None:
    reference, estimate = _pair(1, (2, 50))
    reference[0] = 0.0
    values = metric(reference=reference, estimate=estimate)
    assert np.isnan(values[0]) and np.isfinite(values[1])
    assert np.isnan(metric(reference=estimate, estimate=reference)[0])


@pytest.mark.parametrize("metric", [snr, si_sdr])
def test_refuses_unfit_signals(metric) -> None:
    reference, estimate = _pair(2)
    with pytest.raises(ValueError, match="expected the shape of reference"):
        metric(reference=reference[np.newaxis], estimate=np.stack([estimate, estimate]))
    with pytest.raises(ValueError, match="estimate: expected finite"):
        metric(reference=reference, estimate=estimate * np.nan)


def test_energy_ratio_edges() -> None:
    ratios = energy_ratio_db([1.0, 1.0, 1.0, 0.0, 0.0, 1e-25], [10.0, 0.0, 1e-25, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(ratios, [-10.0, np.inf, np.inf, -np.inf, np.nan, -np.inf])
