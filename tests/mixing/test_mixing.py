"""Which clips are mixed, at which gains and with which interference, as drawn and by hand."""

import numpy as np
import pytest
import scipy.stats

from trisep.errors import ConfigError
from trisep.mixing.mixture import MixingConfig, MixtureChoice, draw_mixture, group_clips, mix


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform.astype(np.float64) ** 2)))


def choice(**values: object) -> MixtureChoice:
    fields = {
        "clips": (0, 1),
        "positions": (0.0, 0.0),
        "gains_db": (0.0, 0.0),
        "mixture_gain_db": 0.0,
        "interference": None,
        **values,
    }
    return MixtureChoice(**fields)  # type: ignore[arg-type]


def test_the_clips_of_a_mixture_differ_and_a_seed_repeats_them() -> None:
    config = MixingConfig(num_sources=3, num_absent_queries=2)
    for seed in range(50):
        drawn = draw_mixture(5, config, np.random.default_rng(seed))
        assert sorted(drawn.clips) == [0, 1, 2, 3, 4]
        assert drawn == draw_mixture(5, config, np.random.default_rng(seed))
        assert (len(drawn.positions), len(drawn.gains_db)) == (5, 3)
        assert all(0 <= position < 1 for position in drawn.positions)


def test_every_ordered_pair_of_clips_is_as_likely_as_any_other() -> None:
    generator, counts = np.random.default_rng(0), np.zeros((6, 6))
    for _ in range(3000):
        first, second = draw_mixture(6, MixingConfig(), generator).clips
        counts[first, second] += 1
    assert not counts.diagonal().any()
    assert scipy.stats.chisquare(counts[~np.eye(6, dtype=bool)]).pvalue > 0.01


def test_gains_and_interference_lie_in_their_ranges_and_come_as_often_as_asked() -> None:
    config = MixingConfig(
        source_gain_db=(-5, 5), mixture_gain_db=(-6, 6), interference_probability=0.25, interference_db=(-12, -3)
    )
    generator = np.random.default_rng(0)
    drawn = [draw_mixture(4, config, generator) for _ in range(2000)]
    gains = np.array([one.gains_db for one in drawn])
    assert -5 <= gains.min() < -4.9 and 4.9 < gains.max() <= 5
    assert all(-6 <= one.mixture_gain_db <= 6 for one in drawn)
    interfered = [one.interference for one in drawn if one.interference]
    assert len(interfered) / 2000 == pytest.approx(0.25, abs=0.04)
    assert all(0 <= where < 1 and 0 <= position < 1 and -12 <= level <= -3 for where, position, level in interfered)


def test_the_number_of_draws_does_not_depend_on_what_was_drawn() -> None:
    never, always = np.random.default_rng(1), np.random.default_rng(1)
    draw_mixture(4, MixingConfig(interference_probability=0.0), never)
    draw_mixture(4, MixingConfig(interference_probability=1.0), always)
    assert never.bit_generator.state == always.bit_generator.state


def test_gains_by_hand() -> None:
    sources = [np.array([1.0, -1.0], np.float32), np.array([0.5, 0.0], np.float32)]
    twenty = choice(gains_db=(20.0, 0.0), mixture_gain_db=-20.0)
    scaled, noise = mix(sources, None, twenty, level_gains_db=[0.0, 40.0])
    # (×10 ÷ 2 ÷ 10) and (×100 ÷ 2 ÷ 10)
    np.testing.assert_allclose(scaled, [[0.5, -0.5], [2.5, 0.0]], rtol=1e-6)
    assert (scaled.dtype, noise.tolist()) == (np.float32, [0.0, 0.0])


def test_interference_stands_at_its_level_under_the_sources() -> None:
    generator = np.random.default_rng(0)
    sources = [(level * generator.standard_normal(20000)).astype(np.float32) for level in (0.1, 0.3)]
    unit = generator.standard_normal(20000).astype(np.float32)
    unit /= rms(unit)
    scaled, noise = mix(
        sources, unit, choice(interference=(0.0, 0.0, -6.0), mixture_gain_db=3.0), level_gains_db=[0.0, 0.0]
    )
    assert 20 * np.log10(rms(noise) / np.mean([rms(one) for one in scaled])) == pytest.approx(-6.0, abs=1e-3)
    # A sound without a choice, or a choice without a sound, adds nothing.
    assert not mix(sources, unit, choice(), level_gains_db=[0.0, 0.0])[1].any()
    assert not mix(sources, None, choice(interference=(0.0, 0.0, -6.0)), level_gains_db=[0.0, 0.0])[1].any()


def test_too_few_clips_are_an_error_that_counts_them() -> None:
    with pytest.raises(ConfigError, match="the store holds 2 clips; a mixture of this recipe needs 3"):
        draw_mixture(2, MixingConfig(num_absent_queries=1), np.random.default_rng(0))


@pytest.mark.parametrize("values", [{"num_sources": 0}, {"num_frames": 0}, {"num_absent_queries": -1}])
def test_settings_out_of_range_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        MixingConfig(**values)  # type: ignore[arg-type]


def test_groups_of_many_clips_are_drawn_less_often_as_the_balance_says() -> None:
    labels = np.array([0] * 8 + [1] * 2 + [1] * 2)
    groups = ["a"] * 8 + ["a"] * 2 + ["b"] * 2
    alike, square_root, even = (group_clips(labels, groups, balance).weights for balance in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(alike, 1 / 12)
    np.testing.assert_allclose(square_root[0] / square_root[8], (8 / 2) ** -0.5)
    np.testing.assert_allclose([even[:8].sum(), even[8:10].sum(), even[10:].sum()], 1 / 3)
    generator, config = np.random.default_rng(0), MixingConfig(num_sources=1, balance=1.0)
    drawn = [draw_mixture(12, config, generator, group_clips(labels, groups, 1.0)).clips[0] for _ in range(3000)]
    assert np.mean(np.array(drawn) < 8) == pytest.approx(1 / 3, abs=0.03)


def test_distinct_labels_never_meet_their_own_kind() -> None:
    labels = np.arange(20) % 4
    found = group_clips(labels, [""] * 20, 0.0)
    config, generator = MixingConfig(num_sources=3, distinct_labels=True), np.random.default_rng(1)
    for _ in range(200):
        clips = draw_mixture(20, config, generator, found).clips
        assert len(set(clips)) == 3 == len(set(labels[list(clips)].tolist()))
    plain = [draw_mixture(20, MixingConfig(num_sources=3), generator, found).clips for _ in range(200)]
    assert any(len(set(labels[list(clips)].tolist())) < 3 for clips in plain)
    with pytest.raises(ConfigError, match="a mixture needs 3 labels, and the clips have 2"):
        draw_mixture(20, config, generator, group_clips(np.arange(20) % 2, [""] * 20, 0.0))


def test_clips_of_one_domain_meet_as_often_as_asked() -> None:
    labels = np.arange(24) % 12
    domains = ["music" if label < 6 else "traffic" if label < 11 else "lonely" for label in labels]
    found = group_clips(labels, [""] * 24, 0.0, domains)

    def share_within(probability: float) -> float:
        config = MixingConfig(distinct_labels=True, within_domain=probability)
        generator = np.random.default_rng(2)
        drawn = [draw_mixture(24, config, generator, found).clips for _ in range(2000)]
        return float(np.mean([len({domains[clip] for clip in clips}) == 1 for clips in drawn]))

    # The lonely label (2 of 24 clips) has no other label in its domain, so its turns draw from all.
    by_chance = (12 / 24) * (10 / 22) + (10 / 24) * (8 / 22)
    assert share_within(0.0) == pytest.approx(by_chance, abs=0.04)
    assert share_within(1.0) == pytest.approx(22 / 24 + 2 / 24 * by_chance, abs=0.02)
    with pytest.raises(ConfigError, match="mixing.within_domain: expected 0 to 1"):
        MixingConfig(within_domain=-0.5)


def test_without_groups_the_draw_is_the_plain_one() -> None:
    with_groups = group_clips(np.arange(9), [""] * 9, 0.0)
    plain = draw_mixture(9, MixingConfig(), np.random.default_rng(3))
    assert plain == draw_mixture(9, MixingConfig(balance=0.5), np.random.default_rng(3))
    assert len(set(draw_mixture(9, MixingConfig(), np.random.default_rng(3), with_groups).clips)) == 2
    with pytest.raises(ConfigError, match="mixing.balance: expected 0 to 1"):
        MixingConfig(balance=1.5)
