"""Statistics against scipy and hand-worked values."""

import numpy as np
import pytest
from scipy import stats

from trisep.metrics import bootstrap_mean, paired_test, roc_auc, summary


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_summary_by_hand() -> None:
    result = summary(np.array([1.0, 2.0, 6.0, 3.0]))
    assert (result.mean, result.median, result.count) == (3.0, 2.5, 4)
    np.testing.assert_allclose(result.sem, stats.sem([1.0, 2.0, 6.0, 3.0]))
    assert np.isnan(summary(np.array([1.0])).sem)
    assert summary(np.array([1.0, 3.0])).sem == 1.0


def test_bootstrap_mean_agrees_with_scipy() -> None:
    values = _generator(1).exponential(size=80)
    ours = bootstrap_mean(values, generator=_generator(2), confidence=0.9)
    theirs = stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, method="percentile", rng=_generator(3)
    ).confidence_interval
    np.testing.assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], atol=0.02)
    np.testing.assert_allclose(ours.mean, values.mean())


def test_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = _generator(4)
    covered = 0
    for _ in range(300):
        interval = bootstrap_mean(generator.standard_normal(40), generator=generator, num_resamples=400)
        covered += interval.low <= 0.0 <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_same_generator_state_gives_same_numbers_also_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = _generator(5).standard_normal(30)
    whole = bootstrap_mean(values, generator=_generator(6), num_resamples=500)
    monkeypatch.setattr("trisep.metrics.statistics._MAX_DRAWS_AT_ONCE", 100)
    assert bootstrap_mean(values, generator=_generator(6), num_resamples=500) == whole


def test_by_default_intervals_hold_95_percent_of_ten_thousand_draws() -> None:
    a, b = _generator(10).standard_normal((2, 20))
    stated = {"confidence": 0.95, "num_resamples": 10_000}
    assert bootstrap_mean(a, generator=_generator()) == bootstrap_mean(a, generator=_generator(), **stated)
    assert paired_test(a, b, generator=_generator()) == paired_test(a, b, generator=_generator(), **stated)
    labels = np.arange(20) < 7
    assert roc_auc(a, labels, generator=_generator()) == roc_auc(a, labels, generator=_generator(), **stated)


def test_constant_values_have_a_point_interval() -> None:
    interval = bootstrap_mean(np.full(7, 2.5), generator=_generator())
    assert (interval.mean, interval.low, interval.high) == (2.5, 2.5, 2.5)


def test_paired_test_enumerates_small_samples_exactly() -> None:
    a, b = np.array([3.0, 4.0, 2.0, 5.0, 1.5]), np.array([1.0, 3.0, 2.5, 1.0, 1.0])
    result = paired_test(a, b, generator=_generator())
    oracle = stats.permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    np.testing.assert_allclose(result.p_value, oracle.pvalue)
    np.testing.assert_allclose(result.mean_difference, 1.4)
    # As many patterns as draws are allowed are still enumerated.
    assert paired_test(a, b, generator=_generator(), num_resamples=32).p_value == result.p_value
    # All differences of one sign: only the two uniform patterns reach the sum.
    assert paired_test(np.full(4, 2.0), np.full(4, 1.0), generator=_generator()).p_value == 2 / 16


def test_paired_test_by_sampling_agrees_with_the_t_test() -> None:
    generator = _generator(7)
    b = generator.standard_normal(100)
    a = b + 0.2 + generator.standard_normal(100)
    result = paired_test(a, b, generator=generator)
    np.testing.assert_allclose(result.p_value, stats.ttest_rel(a, b).pvalue, atol=0.01)
    assert result.interval.low < result.mean_difference < result.interval.high
    assert paired_test(b + 5.0, b, generator=generator).p_value == 1 / 10001
    # 2¹⁸ patterns are more than are allowed: some are drawn, and none of them is one of the two uniform ones.
    assert paired_test(np.ones(18), np.zeros(18), generator=_generator(), num_resamples=1000).p_value == 1 / 1001
    assert paired_test(b, b, generator=generator).p_value == 1.0


def test_roc_auc_with_ties_agrees_with_mann_whitney() -> None:
    generator = _generator(8)
    labels = generator.random(90) < 0.4
    scores = np.round(generator.standard_normal(90) + labels, 1)
    result = roc_auc(scores, labels, generator=generator)
    oracle = stats.mannwhitneyu(scores[labels], scores[~labels]).statistic / (labels.sum() * (~labels).sum())
    np.testing.assert_allclose(result.auc, oracle)
    assert result.low < result.auc < result.high


def test_roc_auc_interval_agrees_with_scipy() -> None:
    generator = _generator(9)
    positives, negatives = generator.standard_normal(40) + 1.0, generator.standard_normal(50)
    ours = roc_auc(np.concatenate([positives, negatives]), np.arange(90) < 40, generator=generator)

    def auc(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean(np.expand_dims(x, -1) > np.expand_dims(y, -2), axis=(-2, -1))

    theirs = stats.bootstrap(
        (positives, negatives), auc, n_resamples=3000, batch=300, method="percentile", rng=generator
    )
    limits = theirs.confidence_interval
    np.testing.assert_allclose([ours.low, ours.high], [limits.low, limits.high], atol=0.015)


def test_roc_auc_by_hand() -> None:
    # Pairs (positive, negative): 3>1, 3>2, 2>1, 2=2 → 3.5 of 4.
    assert (
        roc_auc(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False]), generator=_generator()).auc
        == 0.875
    )
    perfect = roc_auc(np.array([1.0, 2.0]), np.array([False, True]), generator=_generator())
    assert (perfect.auc, perfect.low, perfect.high) == (1.0, 1.0, 1.0)


@pytest.mark.usefixtures("without_shape_checks")
def test_refuses_what_has_no_answer() -> None:
    values = np.array([1.0, 2.0])
    for bad, message in ((np.array([1.0, np.inf]), "1 of 2"), (np.array([]), "non-empty")):
        with pytest.raises(ValueError, match=message):
            summary(bad)
        with pytest.raises(ValueError, match=message):
            bootstrap_mean(bad, generator=_generator())
    for confidence in (95.0, 1.5, 1.0, 0.0):
        with pytest.raises(ValueError, match="confidence"):
            bootstrap_mean(values, generator=_generator(), confidence=confidence)
    with pytest.raises(ValueError, match="num_resamples"):
        bootstrap_mean(values, generator=_generator(), num_resamples=0)
    with pytest.raises(ValueError, match="same items"):
        paired_test(values, np.array([1.0, 2.0, 3.0]), generator=_generator())
    single = bootstrap_mean(values, generator=_generator(), num_resamples=1)
    assert single.low == single.high
    for labels in (np.array([True, False, True]), np.array([1, 0])):
        with pytest.raises(ValueError, match="expected 2 booleans"):
            roc_auc(values, labels, generator=_generator())
    with pytest.raises(ValueError, match="one of the two"):
        roc_auc(values, np.array([True, True]), generator=_generator())
