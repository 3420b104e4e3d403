import numpy as np
import pytest
import scipy.stats

from trisep.errors import ConfigError
from trisep.mixing.mixture import MixingConfig, MixtureChoice, draw_mixture, mix


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
