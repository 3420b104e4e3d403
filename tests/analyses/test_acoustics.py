"""Acoustic properties of sounds that are known: tones, noise, ramps; and their correlation with gains."""

import numpy as np
import pytest

from trisep.analyses.acoustics import attack_seconds, correlations, measure

RATE = 16_000
TIMES = np.arange(RATE) / RATE
TONE = np.sin(2 * np.pi * 220 * TIMES)
NOISE = np.random.default_rng(0).standard_normal(RATE)


def test_a_tone_is_harmonic_steady_and_not_flat() -> None:
    found = measure(0.1 * TONE, RATE)
    assert found.flatness < 0.01 and found.harmonicity > 0.99 and found.stationarity > 0.99


def test_noise_is_flat_and_not_harmonic() -> None:
    found = measure(NOISE, RATE)
    # The periodogram of white noise is exponential: its geometric mean is e^−γ = 0.561 of its mean.
    assert found.flatness == pytest.approx(np.exp(-np.euler_gamma), abs=0.03)
    assert found.harmonicity < 0.3
    # Rayleigh magnitudes that are independent: E[a]² / E[a²] = π/4.
    assert found.stationarity == pytest.approx(np.pi / 4, abs=0.02)


def test_a_sound_that_changes_is_not_steady() -> None:
    halves = np.concatenate([TONE[: RATE // 4], np.sin(2 * np.pi * 1500 * TIMES[: RATE // 4])])
    assert measure(np.tile(halves, 2), RATE).stationarity < 0.3


@pytest.mark.parametrize(("seconds", "expected"), [(0.2, 0.14), (0.05, 0.035)])
def test_a_ramp_is_timed_between_a_fifth_and_nine_tenths(seconds: float, expected: float) -> None:
    ramp = np.clip(TIMES / seconds, 0, 1) * np.exp(-np.maximum(0, TIMES - seconds) * 8)
    square = np.where(np.arange(RATE) % 8 < 4, 1.0, -1.0)  # of constant RMS in 5 ms
    once = 0.3 * ramp * square
    assert attack_seconds(once, RATE) == pytest.approx(expected, abs=0.006)
    assert attack_seconds(np.concatenate([once, once, once]), RATE) == pytest.approx(expected, abs=0.006)


def test_the_level_does_not_count_and_silence_has_no_measure() -> None:
    loud, quiet = measure(NOISE, RATE), measure(1e-3 * NOISE, RATE)
    assert loud == pytest.approx(quiet) or [getattr(loud, name) for name in loud.__slots__] == pytest.approx(
        [getattr(quiet, name) for name in quiet.__slots__], rel=1e-4
    )
    silent = measure(np.zeros(RATE), RATE)
    assert all(np.isnan(getattr(silent, name)) for name in silent.__slots__)
    assert np.isnan(measure(np.zeros(0), RATE).flatness)


def test_correlation_is_of_ranks_over_classes_with_both() -> None:
    gains = {"a": -1.0, "b": 0.5, "c": 2.0, "d": 30.0, "e": 1.0}
    names = ("attack_seconds", "flatness", "harmonicity", "stationarity")
    values = {
        "a": (4.0, 0.1, 0.5, np.nan),
        "b": (3.0, 0.2, 0.5, 0.1),
        "c": (2.0, 0.4, 0.5, 0.2),
        "d": (1.0, 0.9, 0.5, np.nan),
    }
    found = correlations(gains, {label: dict(zip(names, row, strict=True)) for label, row in values.items()})
    assert found["attack_seconds"][::2] == (pytest.approx(-1.0), 4)
    assert found["flatness"][::2] == (pytest.approx(1.0), 4)
    assert np.isnan(found["harmonicity"][0]) and np.isnan(found["stationarity"][0]) and found["stationarity"][2] == 2
