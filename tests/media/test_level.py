"""How loud a sound is, against values worked out by hand."""

import math

import numpy as np
import pytest

from trisep.media.level import gain_between, gain_to, level_db, level_from_sums


def test_levels_by_hand() -> None:
    assert level_db(np.zeros(10, np.float32)) == -math.inf and level_db(np.zeros(0, np.float32)) == -math.inf
    square = np.tile([1.0, -1.0], 50).astype(np.float32)
    assert level_db(square) == pytest.approx(0.0, abs=1e-12)
    assert level_db(0.1 * square) == pytest.approx(-20.0, abs=1e-5)
    assert level_db(np.stack([square, 0 * square])) == pytest.approx(10 * math.log10(0.5), abs=1e-12)


def test_an_offset_is_no_sound() -> None:
    square = np.tile([0.1, -0.1], 500).astype(np.float32)
    assert level_db(square + np.float32(0.5)) == pytest.approx(level_db(square), abs=1e-4)
    assert level_db(np.full(1000, 0.5, np.float32)) == -math.inf


def test_sums_over_blocks_give_the_level_of_the_whole() -> None:
    sound = np.random.default_rng(0).normal(0.2, 0.1, 999)
    sums = [(len(part), part.sum(), np.square(part).sum()) for part in np.array_split(sound, 7)]
    assert level_from_sums(*(sum(values) for values in zip(*sums, strict=True))) == pytest.approx(level_db(sound))


def test_a_gain_leads_from_one_level_to_the_other() -> None:
    sound = np.random.default_rng(1).normal(0.1, 0.01, 500).astype(np.float32)
    assert level_db(sound * gain_to(sound, -23.0)) == pytest.approx(-23.0, abs=1e-4)
    assert gain_between(-20.0, -40.0) == np.float32(0.1) and gain_between(-math.inf, -20.0) == 1
    assert gain_between(-20.0, None) == gain_to(sound, None) == 1
