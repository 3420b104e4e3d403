"""Several channels → one: the mean, and where the mean cancels, no less than what is in the channels."""

import numpy as np
import pytest

from trisep.media.downmix import Downmix, downmixed

RATE = 8000


def noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def mono(channels: np.ndarray, size: int = 777) -> np.ndarray:
    blocks = (channels[:, at : at + size] for at in range(0, channels.shape[1], size))
    return np.concatenate(list(downmixed(blocks, sample_rate_hz=RATE, num_channels=len(channels))), axis=1)[0]


def test_ordinary_channels_are_averaged_to_the_bit() -> None:
    left, right = noise(3.3), noise(3.3, seed=1)
    for channels in (
        [left],
        [left, right],
        [left, left],
        [left, 0 * left],
        [left, 0.1 * right - 0.1 * left],
        [left, right, left],
    ):
        stacked = np.stack(channels)
        np.testing.assert_array_equal(mono(stacked), stacked.mean(axis=0))


def test_opposite_channels_are_turned_round() -> None:
    sound = noise(3.3)
    np.testing.assert_allclose(mono(np.stack([sound, -sound])), sound, atol=1e-7)
    np.testing.assert_allclose(mono(np.stack([-sound, 0.9 * sound])), -0.95 * sound, atol=1e-6)
    surround = np.zeros((6, len(sound)), np.float32)
    surround[0], surround[1] = sound, -sound
    np.testing.assert_allclose(mono(surround), sound / 3, atol=1e-7)


def test_an_offset_of_the_channels_decides_nothing() -> None:
    sound = noise(2.0)
    np.testing.assert_allclose(mono(np.stack([sound + 0.5, -sound])), sound + 0.25, atol=1e-6)


def test_it_is_decided_for_every_second_and_changes_within_a_moment() -> None:
    sound = noise(4.0) * 0 + np.float32(0.1) * np.sin(np.arange(4 * RATE, dtype=np.float32) / 5)
    right = np.where(np.arange(len(sound)) < 2 * RATE, sound, -sound)
    found = mono(np.stack([sound, right]))
    np.testing.assert_allclose(found, sound, atol=0.1)
    np.testing.assert_allclose(found[: 2 * RATE], sound[: 2 * RATE], atol=1e-6)
    np.testing.assert_allclose(found[2 * RATE + 1024 :], sound[2 * RATE + 1024 :], atol=1e-6)


def speech_like(pitch_hz: float, seconds: float = 4.0) -> np.ndarray:
    """A tone with harmonics that comes and goes."""
    time = np.arange(round(seconds * RATE)) / RATE
    harmonics = sum(np.sin(2 * np.pi * pitch_hz * number * time) / number for number in range(1, 8))
    return (0.1 * harmonics * (1 + np.sin(2 * np.pi * 3 * time + pitch_hz))).astype(np.float32)


def level_of(pitch_hz: float, found: np.ndarray) -> float:
    """How much of a tone is in a sound, whatever its phase, beside what there is of it in `speech_like`."""
    turning = np.exp(2j * np.pi * pitch_hz * np.arange(len(found)) / RATE)
    return float(abs(turning @ found) / abs(turning @ speech_like(pitch_hz, len(found) / RATE)))


@pytest.mark.parametrize("against", [1.0, 0.4, 2.0])
def test_an_opposite_source_beside_an_equal_one_keeps_its_energy(against: float) -> None:
    together, opposite = speech_like(210), against * speech_like(333)
    found = mono(np.stack([together + opposite, together - opposite]))
    assert level_of(333, (together + opposite + together - opposite) / 2) < 0.02
    assert level_of(210, found) == pytest.approx(1.0, abs=0.05)
    assert level_of(333, found) == pytest.approx(against, rel=0.05)


def test_of_surround_sound_what_cancels_is_heard_too() -> None:
    together, opposite = speech_like(210), speech_like(333)
    surround = np.stack([opposite, -opposite, together, 0 * together, 0 * together, 0 * together])
    found = mono(surround)
    assert level_of(333, surround.mean(axis=0)) < 0.02
    assert level_of(333, found) == pytest.approx(2**0.5 / 26**0.5, rel=0.05)
    assert level_of(210, found) == pytest.approx(1 / 26**0.5, rel=0.05)


def test_noises_that_run_against_each_other_more_than_together() -> None:
    together, opposite = noise(4.0), 1.5 * noise(4.0, seed=1)
    found = mono(np.stack([together + opposite, together - opposite]))
    assert np.square(found).mean() == pytest.approx(np.square(together).mean() + np.square(opposite).mean(), rel=0.05)


def test_blocks_of_the_shifted_mix_join_without_a_step() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 100 * np.arange(6 * RATE) / RATE)).astype(np.float32)
    other = (0.4 * np.sin(2 * np.pi * 1000 * np.arange(6 * RATE) / RATE) * (np.arange(6 * RATE) > 2.5 * RATE)).astype(
        np.float32
    )
    found = mono(np.stack([tone + other, tone - other]))
    np.testing.assert_array_equal(found[: 2 * RATE], tone[: 2 * RATE])
    steps = np.abs(np.diff(found))
    joints = np.arange(1, 6) * RATE
    assert max(steps[joint - 5 : joint + 5].max() for joint in joints) <= 1.05 * max(
        np.abs(np.diff(tone)).max() + np.abs(np.diff(other)).max(), 1e-9
    )
    assert level_of_tone(1000, found[3 * RATE :]) == pytest.approx(0.4, rel=0.02)
    assert level_of_tone(100, found[3 * RATE :]) == pytest.approx(0.5, rel=0.02)


def level_of_tone(frequency_hz: float, found: np.ndarray) -> float:
    """Amplitude of a tone in a sound of whole seconds."""
    return float(2 * abs(np.exp(2j * np.pi * frequency_hz * np.arange(len(found)) / RATE) @ found) / len(found))


def test_the_sign_stays_from_second_to_second() -> None:
    sound = noise(4.0)
    uneven = np.where(np.arange(len(sound)) // RATE % 2, np.float32(0.8), np.float32(1.2))
    found = mono(np.stack([uneven * sound, -(2 - uneven) * sound]))
    np.testing.assert_allclose(found, sound, atol=1e-6)


@pytest.mark.parametrize("num_samples", [1, 2, 100])
def test_a_sound_of_a_few_samples(num_samples: int) -> None:
    few = np.stack([noise()[:num_samples], -noise()[:num_samples]])
    found = Downmix(RATE, 2).push(few)
    assert found.shape == (num_samples,) and (num_samples == 1 or found.any())
