"""Scoring a whole separation: every column, improvements, silence, partial scoring."""

import dataclasses

import numpy as np
import pytest

from trisep import metrics
from trisep.metrics import MixtureScorer, Scores, bss_eval_sources, is_silent, score_separation, si_sdr, snr


def _scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three references, estimates with some leakage and noise, and a mixture with a sound that is no reference."""
    generator = np.random.default_rng(seed)
    references = 0.1 * generator.standard_normal((3, 3000))
    mixture = references.sum(axis=0) + 0.02 * generator.standard_normal(3000)
    estimates = references + 0.1 * mixture + 0.005 * generator.standard_normal((3, 3000))
    return references, estimates, mixture


def test_columns_are_the_single_metrics_and_their_improvements() -> None:
    references, estimates, mixture = _scene()
    repeated = np.stack([mixture] * 3)
    after, before = (
        bss_eval_sources(reference=references, estimate=estimates),
        bss_eval_sources(reference=references, estimate=repeated),
    )
    results = score_separation(references=references, estimates=estimates, mixture=mixture)
    assert [result.source for result in results] == [0, 1, 2]
    for j, result in enumerate(results):
        assert result.skipped is None and result.scores is not None
        expected = Scores(
            sdr=after.sdr[j],
            sir=after.sir[j],
            sar=after.sar[j],
            snr=float(snr(reference=references[j], estimate=estimates[j])),
            si_sdr=float(si_sdr(reference=references[j], estimate=estimates[j])),
            sdri=after.sdr[j] - before.sdr[j],
            siri=after.sir[j] - before.sir[j],
            sari=after.sar[j] - before.sar[j],
            snri=float(
                snr(reference=references[j], estimate=estimates[j]) - snr(reference=references[j], estimate=mixture)
            ),
            si_sdri=float(
                si_sdr(reference=references[j], estimate=estimates[j])
                - si_sdr(reference=references[j], estimate=mixture)
            ),
        )
        np.testing.assert_allclose(dataclasses.astuple(result.scores), dataclasses.astuple(expected), rtol=1e-10)
        assert all(isinstance(value, float) for value in dataclasses.astuple(result.scores))


def test_the_mixture_as_estimate_improves_nothing() -> None:
    references, _, mixture = _scene()
    for result in score_separation(references=references, estimates=np.stack([mixture] * 3), mixture=mixture):
        assert result.scores is not None
        scores = result.scores
        np.testing.assert_allclose([scores.sdri, scores.siri, scores.sari, scores.snri, scores.si_sdri], 0.0, atol=1e-9)


def test_partial_scoring_keeps_the_unscored_sources_as_interference() -> None:
    references, estimates, mixture = _scene()
    full = score_separation(references=references, estimates=estimates, mixture=mixture)
    part = score_separation(references=references, estimates=estimates[[2, 0]], mixture=mixture, scored=[2, 0])
    assert [result.source for result in part] == [2, 0]
    for result in part:
        other = full[result.source].scores
        assert result.scores is not None and other is not None
        np.testing.assert_allclose(dataclasses.astuple(result.scores), dataclasses.astuple(other), rtol=1e-10)


def test_silence_is_skipped_with_its_reason_and_the_rest_is_scored() -> None:
    references, estimates, mixture = _scene()
    references[0] = 0.0
    estimates[1] *= 1e-5
    results = score_separation(references=references, estimates=estimates, mixture=mixture)
    assert [result.skipped for result in results] == ["silent reference", "silent estimate", None]
    assert [result.scores is None for result in results] == [True, True, False]
    alone = bss_eval_sources(reference=references[1:], estimate=estimates[1:])
    assert results[2].scores is not None
    np.testing.assert_allclose(results[2].scores.sir, alone.sir[1], rtol=1e-10)
    silent = score_separation(references=references, estimates=estimates, mixture=0.0 * mixture)
    assert [result.skipped for result in silent] == ["silent reference", "silent estimate", "silent mixture"]


def test_a_quiet_reference_is_skipped_but_stays_part_of_the_scene() -> None:
    references, estimates, mixture = _scene()
    references[0] *= 1e-4
    results = score_separation(references=references, estimates=estimates, mixture=mixture)
    assert results[0].skipped == "silent reference" and results[1].scores is not None
    whole = bss_eval_sources(reference=references, estimate=estimates)
    np.testing.assert_allclose(results[1].scores.sar, whole.sar[1], rtol=1e-10)


def test_near_silence_is_skipped_by_level_and_scored_alike_where_the_level_allows() -> None:
    references, estimates, mixture = _scene()
    near = {"references": 1e-8 * references, "estimates": 1e-8 * estimates, "mixture": 1e-8 * mixture}
    assert [result.skipped for result in score_separation(**near)] == ["silent reference"] * 3
    scored = score_separation(**near, silence_threshold_db=-200.0)
    loud = score_separation(references=references, estimates=estimates, mixture=mixture)
    for one, other in zip(scored, loud, strict=True):
        assert one.scores is not None and other.scores is not None
        np.testing.assert_allclose(
            dataclasses.astuple(one.scores), dataclasses.astuple(other.scores), rtol=0, atol=1e-9
        )


def test_undefined_improvements_are_nan_not_zero() -> None:
    references, estimates, _ = _scene()
    (result,) = score_separation(references=references[:1], estimates=estimates[:1], mixture=estimates[1])
    assert result.scores is not None
    assert result.scores.sir == np.inf and np.isnan(result.scores.siri)


def test_is_silent_counts_rms_in_dbfs() -> None:
    tone = np.sqrt(2.0) * np.sin(2 * np.pi * np.arange(1000) / 10)
    assert is_silent(10 ** (-70.1 / 20) * tone) and not is_silent(10 ** (-69.9 / 20) * tone)
    assert not is_silent(10 ** (-70.1 / 20) * tone, threshold_db=-80.0)
    assert is_silent(np.zeros(0)) and is_silent(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="finite"):
        is_silent(np.array([np.nan]))


@pytest.mark.usefixtures("without_shape_checks")
def test_refuses_what_does_not_fit() -> None:
    references, estimates, mixture = _scene()
    with pytest.raises(ValueError, match="estimates: expected shape"):
        score_separation(references=references, estimates=estimates, mixture=mixture, scored=[0, 1])
    with pytest.raises(ValueError, match="mixture: expected shape"):
        score_separation(references=references, estimates=estimates, mixture=mixture[:-1])
    with pytest.raises(ValueError, match="scored: expected different"):
        score_separation(references=references, estimates=estimates[:2], mixture=mixture, scored=[0, 0])
    with pytest.raises(ValueError, match="finite"):
        score_separation(references=references, estimates=np.nan * estimates, mixture=mixture)


def test_two_systems_on_one_mixture_score_as_each_does_and_share_what_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    references = generator.standard_normal((3, 4000))
    systems = [references[:2] + scale * generator.standard_normal((2, 4000)) for scale in (0.1, 1.0)]
    systems[1][0] = 0.0
    mixture = references.sum(axis=0)
    expected = [
        score_separation(references=references, estimates=one, mixture=mixture, scored=[0, 1]) for one in systems
    ]
    made = []
    factorised = metrics.BssReference
    monkeypatch.setattr(metrics, "BssReference", lambda sources: made.append(1) or factorised(sources))
    scorer = MixtureScorer(references=references, mixture=mixture, scored=[0, 1])
    assert [scorer.score(one) for one in systems] == expected
    assert len(made) == 1 and expected[1][0].skipped == "silent estimate" and expected[1][1].scores is not None
