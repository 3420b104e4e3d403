"""Augmentation: drawn as data, in its ranges and as often as asked, then applied without chance."""

from dataclasses import asdict, fields

import numpy as np
import pytest

from trisep.errors import ConfigError
from trisep.mixing.augmentation import Augmentation, AugmentationConfig, apply, draw, samples_needed

RATE_HZ = 16000
NUM_SAMPLES = 16000
EVERYTHING = AugmentationConfig(
    resample_probability=1.0, room_probability=1.0, equalizer_probability=1.0, codec_probability=1.0
)
CHOICES = [
    Augmentation(speed=1.1),
    Augmentation(room=(0.3, 3.0, 5)),
    Augmentation(equalizer_db=(9.0, -9.0, 3.0, 0.0, -6.0, 6.0, 2.0, -2.0)),
    Augmentation(codec=(4000.0, -20.0, 6)),
    Augmentation(speed=0.9, room=(0.2, 0.0, 1), equalizer_db=(1.0,) * 8, codec=(5000.0, -30.0, 2)),
]


def noise(num_samples: int = NUM_SAMPLES, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def tone(frequency_hz: float, num_samples: int) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / RATE_HZ)).astype(np.float32)


def augmented(waveform: np.ndarray, choice: Augmentation, num_samples: int = NUM_SAMPLES) -> np.ndarray:
    return apply(waveform, choice, num_samples=num_samples, sample_rate_hz=RATE_HZ)


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform.astype(np.float64) ** 2)))


def peak_hz(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))))) * RATE_HZ / len(waveform)


def test_choices_are_data_that_a_seed_repeats() -> None:
    first, again, other = (draw(EVERYTHING, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert Augmentation(**asdict(first)) == first
    assert hash(first) == hash(again)


def test_drawn_values_lie_in_their_ranges() -> None:
    generator = np.random.default_rng(0)
    drawn = [draw(EVERYTHING, generator) for _ in range(200)]
    assert 2 ** (-2 / 12) <= min(one.speed for one in drawn) < 0.93 and 1.07 < max(one.speed for one in drawn) <= 2 ** (
        2 / 12
    )
    for one in drawn:
        assert one.room is not None and one.equalizer_db is not None and one.codec is not None
        assert 0.15 <= one.room[0] <= 0.9 and -3 <= one.room[1] <= 12
        assert len(one.equalizer_db) == 8 and max(map(abs, one.equalizer_db)) <= 9
        assert 3000 <= one.codec[0] <= 7500 and -35 <= one.codec[1] <= -15


def test_each_step_is_taken_as_often_as_asked() -> None:
    config = AugmentationConfig(
        resample_probability=0.1, room_probability=0.4, equalizer_probability=0.6, codec_probability=0.9
    )
    generator = np.random.default_rng(0)
    drawn = [draw(config, generator) for _ in range(2000)]
    taken = [
        [one.speed != 1, one.room is not None, one.equalizer_db is not None, one.codec is not None] for one in drawn
    ]
    # Four standard deviations of a share of 2000 are at most 0.045.
    np.testing.assert_allclose(np.mean(taken, axis=0), [0.1, 0.4, 0.6, 0.9], atol=0.045)


def test_the_number_of_draws_does_not_depend_on_what_was_drawn() -> None:
    nothing, everything = np.random.default_rng(1), np.random.default_rng(1)
    draw(AugmentationConfig(), nothing)
    draw(EVERYTHING, everything)
    assert nothing.bit_generator.state == everything.bit_generator.state


def test_nothing_drawn_changes_nothing() -> None:
    choice = draw(AugmentationConfig(), np.random.default_rng(0))
    assert choice == Augmentation()
    assert samples_needed(NUM_SAMPLES, choice) == NUM_SAMPLES
    np.testing.assert_allclose(augmented(noise(), choice), noise(), rtol=1e-6)


@pytest.mark.parametrize("choice", CHOICES, ids=["speed", "room", "equalizer", "codec", "all"])
def test_applying_is_pure_keeps_the_level_and_gives_the_length_asked_for(choice: Augmentation) -> None:
    waveform = noise(samples_needed(NUM_SAMPLES, choice))
    before = waveform.copy()
    result = augmented(waveform, choice)
    np.testing.assert_array_equal(waveform, before)
    np.testing.assert_array_equal(augmented(waveform, choice), result)
    assert (result.shape, result.dtype) == ((NUM_SAMPLES,), np.float32)
    assert rms(result) == pytest.approx(rms(waveform), rel=1e-4)
    assert not np.allclose(
        result, waveform[:NUM_SAMPLES] if len(waveform) >= NUM_SAMPLES else np.resize(waveform, NUM_SAMPLES), atol=1e-3
    )


@pytest.mark.parametrize("choice", CHOICES, ids=["speed", "room", "equalizer", "codec", "all"])
def test_silence_stays_silence(choice: Augmentation) -> None:
    assert not augmented(np.zeros(samples_needed(NUM_SAMPLES, choice), np.float32), choice).any()


@pytest.mark.parametrize("semitones", [-2, -0.7, 1, 2])
def test_speed_moves_the_pitch_by_its_factor(semitones: float) -> None:
    choice = Augmentation(speed=2 ** (semitones / 12))
    result = augmented(tone(1000, samples_needed(NUM_SAMPLES, choice)), choice)
    # Lengths are rounded up to ones that transform fast, here by up to 1 %: a sixth of a semitone.
    assert peak_hz(result) == pytest.approx(1000 * choice.speed, rel=0.0125)
    assert rms(result[-2000:]) > 0.5 * rms(result)  # enough was read: the end is not padding


def test_the_direct_sound_stays_in_its_place_in_a_room() -> None:
    click = np.zeros(NUM_SAMPLES, np.float32)
    click[5000] = 1.0
    result = augmented(click, Augmentation(room=(0.3, 6.0, 7)))
    assert int(np.argmax(np.abs(result))) == 5000
    assert np.abs(result[:5000]).max() < 1e-5
    direct, tail = float(result[5000] ** 2), float((result[5001:] ** 2).sum())
    assert 10 * np.log10(direct / tail) == pytest.approx(6.0, abs=0.5)
    early, late = (result[5000 + start : 5000 + start + 800] for start in (800, 3600))
    assert rms(late) < 0.1 * rms(early)  # 60 dB in 0.3 s are 35 dB in 0.175 s


def test_the_equalizer_lifts_the_band_it_names() -> None:
    both = tone(250, NUM_SAMPLES) + tone(4000, NUM_SAMPLES)
    result = np.abs(np.fft.rfft(augmented(both, Augmentation(equalizer_db=(0, 0, 6.0, 0, 0, 0, -6.0, 0)))))
    # The gain is interpolated over log(f + 1), a hair beside the octave edge itself.
    assert 20 * np.log10(result[250] / result[4000]) == pytest.approx(12, abs=0.2)


def test_the_codec_leaves_little_above_its_cut_off() -> None:
    spectrum = np.abs(np.fft.rfft(augmented(noise(), Augmentation(codec=(3000.0, -25.0, 1))))) ** 2
    assert spectrum[3100:].sum() < 1e-3 * spectrum[:2900].sum()


@pytest.mark.parametrize(
    "name", [field.name for field in fields(AugmentationConfig) if field.name.endswith("probability")]
)
def test_a_probability_beyond_1_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected a probability between 0 and 1, got 1.5"):
        AugmentationConfig(**{name: 1.5})
