"""BSS Eval against mir_eval, and against values that can be worked out by hand."""

import tracemalloc

import numpy as np
import pytest
from mir_eval import separation as oracle

from trisep.metrics import BssReference, bss_eval_sources
from trisep.metrics.bss_eval import _factorise

MIR_EVAL_IS_DEPRECATED = "ignore:mir_eval.separation:FutureWarning"


def _tones(generator: np.random.Generator, num_sources: int, num_samples: int) -> np.ndarray:
    """Decaying harmonic notes: nearly rank-deficient Gram matrices."""
    seconds = np.arange(num_samples) / 8000.0
    notes = [
        sum(
            np.exp(-seconds * h) * np.sin(2 * np.pi * pitch * h * seconds + generator.uniform(0, 6)) / h
            for h in range(1, 6)
        )
        for pitch in generator.uniform(100, 700, num_sources)
    ]
    return np.stack(notes)


def _case(kind: str, num_sources: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """References and imperfect estimates, half a second at 8 kHz."""
    generator = np.random.default_rng(seed)
    references = generator.standard_normal((num_sources, 4001))
    if kind == "correlated":
        references += 3.0 * generator.standard_normal(4001)
    if kind == "unequal":
        references *= np.array([[1.0], [1e-3], [1e-5]])[:num_sources]
    if kind == "tonal":
        references = _tones(generator, num_sources, 4001)
    noise = generator.standard_normal(references.shape) * np.abs(references).mean()
    return references, references + 0.2 * references.sum(axis=0) + 0.1 * noise


@pytest.mark.filterwarnings(MIR_EVAL_IS_DEPRECATED)
@pytest.mark.parametrize(
    ("kind", "num_sources"),
    [("noise", 1), ("noise", 2), ("correlated", 2), ("correlated", 3), ("unequal", 3), ("tonal", 1), ("tonal", 2)],
)
def test_equals_mir_eval(kind: str, num_sources: int) -> None:
    references, estimates = _case(kind, num_sources, seed=num_sources)
    expected_sdr, expected_sir, expected_sar, _ = oracle.bss_eval_sources(
        references, estimates, compute_permutation=False
    )
    result = bss_eval_sources(reference=references, estimate=estimates)
    np.testing.assert_allclose(result.sdr, expected_sdr, rtol=0, atol=1e-7)
    np.testing.assert_allclose(result.sar, expected_sar, rtol=0, atol=1e-7)
    if num_sources == 1:
        assert np.isposinf(result.sir).all() and (expected_sir > 200.0).all()
    else:
        np.testing.assert_allclose(result.sir, expected_sir, rtol=0, atol=1e-7)


@pytest.mark.filterwarnings(MIR_EVAL_IS_DEPRECATED)
def test_linearly_dependent_references_take_a_ridge_and_still_agree() -> None:
    references, estimates = _case("noise", 2, seed=5)
    references[1] = references[0]
    truth = BssReference(references)
    assert 0.0 < truth.ridge < 1e-12
    expected_sdr, _, expected_sar, _ = oracle.bss_eval_sources(references, estimates, compute_permutation=False)
    result = truth.score(estimates)
    np.testing.assert_allclose(result.sdr, expected_sdr, rtol=0, atol=1e-7)
    np.testing.assert_allclose(result.sar, expected_sar, rtol=0, atol=1e-7)


def test_the_ridge_is_the_smallest_power_of_ten_that_suffices() -> None:
    for excess, expected in ((-1e-3, 0.0), (5e-13, 1e-12), (5e-11, 1e-10)):
        # The smaller eigenvalue of [[1, a], [a, 1]] is 1 − a; 1 + ridge has to be above a.
        gram = np.array([[1.0, 1 + excess], [1 + excess, 1.0]])
        solve, ridge = _factorise(gram)
        assert ridge == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose((gram + ridge * np.eye(2)) @ solve(np.array([1.0, 1.0])), [1.0, 1.0], rtol=1e-3)


@pytest.mark.filterwarnings(MIR_EVAL_IS_DEPRECATED)
@pytest.mark.parametrize("levels", [(1e-8, 1e-8), (1.0, 1e-8)])
def test_near_silence_is_scored_as_anything_else(levels: tuple[float, float]) -> None:
    references, estimates = _case("noise", 2, seed=6)
    loud = bss_eval_sources(reference=references, estimate=estimates)
    gains = np.array(levels)[:, np.newaxis]
    result = bss_eval_sources(reference=gains * references, estimate=gains * estimates)
    expected = oracle.bss_eval_sources(gains * references, gains * estimates, compute_permutation=False)
    for name, theirs in zip(("sdr", "sir", "sar"), expected[:3], strict=True):
        assert np.isfinite(getattr(result, name)).all()
        np.testing.assert_allclose(getattr(result, name), theirs, rtol=0, atol=1e-6)
        np.testing.assert_allclose(getattr(result, name), getattr(loud, name), rtol=0, atol=1e-6)


def test_memory_is_a_fixed_number_of_copies_of_the_signals() -> None:
    # What it takes beyond the Gram matrix (8 MiB here) grows with the length and with nothing else: 10 minutes are 640
    # such signals.
    generator = np.random.default_rng(7)
    copies = []
    for num_samples in (60_000, 240_000):
        references = generator.standard_normal((2, num_samples))
        estimates = references + 0.3 * generator.standard_normal((2, num_samples))
        tracemalloc.start()
        bss_eval_sources(reference=references, estimate=estimates)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        copies.append((peak - 3 * 8 * 1024**2) / references.nbytes)
    assert copies[1] < 10


def test_orthogonal_impulses_by_hand() -> None:
    # Impulses far apart stay orthogonal under delays of 0 to 3: ŝ = 2·s₀ + 0.2·s₁(delayed by 2) + 0.02·(an impulse out
    # of reach of both).
    references = np.zeros((2, 60))
    references[0, 10] = references[1, 30] = 1.0
    estimate = np.zeros(60)
    estimate[[10, 32, 50]] = 2.0, 0.2, 0.02
    truth = BssReference(references, filter_length=4)
    result = truth.score(estimate[np.newaxis], sources=[0])
    np.testing.assert_allclose(result.sir, [20.0], atol=1e-9)
    np.testing.assert_allclose(result.sdr, [10 * np.log10(4.0 / 0.0404)], atol=1e-9)
    np.testing.assert_allclose(result.sar, [10 * np.log10(4.04 / 0.0004)], atol=1e-9)


def test_filtered_reference_is_perfect_and_mixture_has_no_artifacts() -> None:
    references, _ = _case("noise", 2, seed=1)
    delayed = np.pad(references, ((0, 0), (3, 0)))[:, :-3] * np.array([[0.5], [-2.0]])
    references[:, -3:] = delayed[:, -3:] = 0.0
    truth = BssReference(np.pad(references, ((0, 0), (0, 600))))
    result = truth.score(np.pad(np.roll(references, 3, axis=1) * np.array([[0.5], [-2.0]]), ((0, 0), (0, 600))))
    assert np.isposinf(np.concatenate([result.sdr, result.sir, result.sar])).all()
    mixture = truth.score_mixture(np.pad(references.sum(axis=0), (0, 600)))
    assert np.isposinf(mixture.sar).all() and np.isfinite(mixture.sdr).all()


def test_mixture_and_partial_scores_equal_full_ones() -> None:
    references, estimates = _case("noise", 3, seed=2)
    mixture = references.sum(axis=0) + 0.1
    truth = BssReference(references)
    repeated = truth.score(np.stack([mixture] * 3))
    once = truth.score_mixture(mixture, sources=[2, 0])
    np.testing.assert_allclose(once.sdr, repeated.sdr[[2, 0]], rtol=1e-12)
    np.testing.assert_allclose(once.sar, repeated.sar[[2, 0]], rtol=1e-12)
    part, full = truth.score(estimates[[1]], sources=[1]), truth.score(estimates)
    np.testing.assert_allclose([part.sdr[0], part.sir[0]], [full.sdr[1], full.sir[1]], rtol=1e-12)


def test_signal_shorter_than_the_filter() -> None:
    # One impulse of three samples' signal: every estimate over samples 0 to 2 is a filtered copy.
    reference, estimate = np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, 2.0, 3.0]])
    assert np.isposinf(bss_eval_sources(reference=reference, estimate=estimate).sdr).all()


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda signals: signals * 0.0, "all zeros"),
        (lambda signals: signals * np.nan, "finite"),
        (lambda signals: signals[:, :0], "shape"),
        (lambda signals: signals[:, :-1], "shape"),
    ],
)
def test_refuses_what_is_undefined(change, message: str) -> None:
    references, estimates = _case("noise", 2, seed=3)
    with pytest.raises(ValueError, match=message):
        bss_eval_sources(reference=references, estimate=change(estimates))


def test_refuses_wrong_indices_and_settings() -> None:
    references, estimates = _case("noise", 2, seed=3)
    with pytest.raises(ValueError, match="sources: expected indices"):
        BssReference(references).score(estimates, sources=[0, 2])
    with pytest.raises(ValueError, match="filter_length"):
        BssReference(references, filter_length=0)
    with pytest.raises(ValueError, match="mixture: expected 4001"):
        BssReference(references).score_mixture(references[0, 1:])
