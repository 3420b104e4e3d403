"""The contract: every baseline, found by name, gives a row per source, the same for the same seed, and silence for
silence.
"""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from trisep.baselines import baseline, baseline_names, best_order, run_baseline
from trisep.errors import ConfigError
from trisep.types import SignalSettings

NAMES = ["ideal_mask", "mixture", "nmf_mfcc", "random_mask", "rpca"]
SUM_TO_THE_MIXTURE = ["ideal_mask", "nmf_mfcc", "random_mask", "rpca"]


def run(name: str, sources: np.ndarray, signal: SignalSettings, seed: int = 1) -> np.ndarray:
    return run_baseline(
        name, sources.sum(axis=0), references=sources, signal=signal, generator=np.random.default_rng(seed)
    )


def test_all_are_found() -> None:
    assert baseline_names() == NAMES


def test_an_unknown_name_is_one_line_that_lists_the_known() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown baseline 'nmf': expected one of ideal_mask, mixture, nmf_mfcc, random_mask, rpca"
    ):
        baseline("nmf")


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is_and_has_a_frozen_config(name: str) -> None:
    module = baseline(name)
    assert module.KIND in ("floor", "classical", "ceiling")
    assert set(module.NEEDS) <= {"num_sources", "references", "generator"}
    assert ("references" in module.NEEDS) == (module.KIND == "ceiling")
    with pytest.raises((FrozenInstanceError, TypeError)):
        setattr(module.Config(), fields(module.Config)[0].name, None)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_estimates(name: str, sources: np.ndarray, signal: SignalSettings) -> None:
    estimates = run(name, sources[:, :4000], signal)
    assert estimates.shape == (2, 4000) and estimates.dtype == np.float32
    np.testing.assert_array_equal(run(name, sources[:, :4000], signal), estimates)


@pytest.mark.parametrize("name", ["nmf_mfcc", "random_mask"])
def test_another_seed_gives_others(name: str, sources: np.ndarray, signal: SignalSettings) -> None:
    assert not np.array_equal(run(name, sources[:, :4000], signal, seed=2), run(name, sources[:, :4000], signal))


@pytest.mark.parametrize("name", SUM_TO_THE_MIXTURE)
def test_estimates_sum_to_the_mixture(name: str, sources: np.ndarray, signal: SignalSettings) -> None:
    # Silence up to the third part of a second, so that empty frames are among them.
    gated = sources[:, :16000] * (np.arange(16000) > 5000).astype(np.float32)
    np.testing.assert_allclose(run(name, gated, signal).sum(axis=0), gated.sum(axis=0), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_samples", [100, 4000])
def test_silence_stays_silence(name: str, num_samples: int, signal: SignalSettings) -> None:
    np.testing.assert_array_equal(run(name, np.zeros((2, num_samples), np.float32), signal), np.zeros((2, num_samples)))


@pytest.mark.parametrize("name", NAMES)
def test_one_silent_source_and_a_very_quiet_one(name: str, sources: np.ndarray, signal: SignalSettings) -> None:
    quiet = np.stack([sources[0, :4000] * np.float32(1e-6), np.zeros(4000, np.float32)])
    estimates = run(name, quiet, signal)
    assert np.isfinite(estimates).all() and np.abs(estimates).max() < 1e-5


def test_a_system_of_two_parts_refuses_three_sources(sources: np.ndarray, signal: SignalSettings) -> None:
    with pytest.raises(ConfigError, match=r"'rpca' gives 2 estimates, and the mixture has 3 sources"):
        run("rpca", np.concatenate([sources, sources[:1]])[:, :2000], signal)


def test_rows_are_put_in_the_order_of_the_references() -> None:
    references = np.array([[1.0, 0, 0], [0, 2.0, 0]])
    estimates = np.array([[0.1, 0, 0.9], [0, 1.8, 0], [0.7, 0.1, 0]])
    np.testing.assert_array_equal(best_order(references=references, estimates=estimates), [2, 1])


def test_no_row_is_given_twice() -> None:
    # Row 0 is the nearest to both references; 0.02 + 1.0 for the straight order is less than 0.08 + 1.3 for the crossed
    # one.
    references = np.array([[1.0, 0.0], [0.7, 0.3]])
    estimates = np.array([[0.9, 0.1], [0.0, 1.0]])
    np.testing.assert_array_equal(best_order(references=references, estimates=estimates), [0, 1])
