"""What a network hears of a sound: offsets and rumble are taken out where they are large, and nowhere else."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from trisep.media.heard import HeardMeter, OffsetMeter, Unheard, heard, heard_blocks

RATE = 16000


def tone(frequency_hz: float, level: float, seconds: float = 4.0, rate_hz: int = RATE) -> np.ndarray:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * times + 1)).astype(np.float32)


def cut(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for at in range(0, samples.shape[1], size):
        yield samples[:, at : at + size]


@pytest.mark.parametrize("offset", [0.5, 0.05, -0.01])
def test_a_large_offset_is_taken_out(offset: float) -> None:
    sound = tone(440, 0.1)
    found, level_db = heard(sound + np.float32(offset), RATE)
    np.testing.assert_allclose(found, sound, atol=1e-5)
    assert level_db == pytest.approx(10 * math.log10(0.005), abs=0.001)


def test_what_is_small_stays_to_the_bit() -> None:
    sound = tone(440, 0.1) + np.float32(0.001) + tone(10, 0.01)
    assert heard(sound, RATE)[0] is sound


@pytest.mark.parametrize("frequency_hz", [3.0, 10.0, 15.0])
def test_strong_rumble_is_taken_out_and_nothing_else(frequency_hz: float) -> None:
    sound = tone(440, 0.1)
    found, level_db = heard(sound + tone(frequency_hz, 0.3), RATE)
    assert len(found) == len(sound)
    middle = slice(RATE // 2, -RATE // 2)
    assert np.abs(found - sound)[middle].max() < 0.005
    assert np.abs(found - sound).max() < 0.12  # also at the ends
    assert level_db == pytest.approx(10 * math.log10(0.005), abs=0.3)


def test_sound_from_30_hz_on_is_no_rumble() -> None:
    sound = tone(30, 0.3)
    found, level_db = heard(sound, RATE)
    assert found is sound and level_db == pytest.approx(10 * math.log10(0.045), abs=0.1)


def test_a_constant_is_silence_also_after_a_codec() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-5, RATE).astype(np.float32)
    for sound in (np.full(RATE, 0.1, np.float32), np.full(RATE, 0.1, np.float32) + noise, np.zeros(RATE, np.float32)):
        assert heard(sound, RATE)[1] == -math.inf
        meter = OffsetMeter(RATE, 2)
        meter.update(np.stack([sound, sound]))
        assert meter.is_silent
    assert heard(noise, RATE)[1] == pytest.approx(-100, abs=0.2)


def test_one_sample_is_no_offset_and_not_silent() -> None:
    sample = np.array([0.063], np.float32)
    found, level_db = heard(sample, RATE)
    assert found is sample and level_db == pytest.approx(-24.0, abs=0.1)
    meter = OffsetMeter(RATE, 1)
    meter.update(sample[None])
    assert not meter.is_silent and meter.offsets.tolist() == [0]
    assert heard(np.zeros(0, np.float32), RATE)[1] == -math.inf


def test_channels_against_each_other_are_not_silent() -> None:
    meter = OffsetMeter(RATE, 2)
    meter.update(np.stack([tone(440, 0.1), -tone(440, 0.1)]))
    assert not meter.is_silent and not meter.offsets.any()


@pytest.mark.parametrize("size", [1000, 65536, 10**6])
def test_every_sample_comes_out_once_with_what_is_heard_of_it(size: int) -> None:
    rate = 44100
    stereo = np.stack([tone(440, 0.1, 3.1, rate) + tone(8, 0.4, 3.1, rate), tone(660, 0.1, 3.1, rate) + 0.2])
    unheard = Unheard(np.array([0.0, 0.2], np.float32), has_rumble=True)
    pairs = list(heard_blocks(cut(stereo, size), unheard, rate))
    assert all(block.shape == part.shape and block.shape[1] for block, part in pairs)
    mixture, found = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
    np.testing.assert_array_equal(mixture, stereo)
    expected = np.stack([tone(440, 0.1, 3.1, rate), tone(660, 0.1, 3.1, rate)])
    np.testing.assert_allclose(found[:, rate // 2 : -rate // 2], expected[:, rate // 2 : -rate // 2], atol=2e-3)


def test_the_meter_does_not_depend_on_blocks() -> None:
    sound = tone(440, 0.1) + tone(7, 0.3)
    levels = []
    for size in (999, 10**6):
        meter = HeardMeter(RATE)
        for block in cut(sound[None], size):
            meter.update(block[0])
        meter.finish()
        assert meter.has_rumble
        levels.append(meter.level_db)
    assert levels[0] == pytest.approx(levels[1], abs=0.01)
