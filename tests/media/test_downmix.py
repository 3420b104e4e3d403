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
    for channels in ([left], [left, right], [left, left], [left, 0 * left], [left, -0.5 * left], [left, right, left]):
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
