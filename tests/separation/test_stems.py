"""Names of outputs, and levels gathered block by block."""

import math

import numpy as np
import pytest

from trisep.separation.stems import LevelMeter, output_names


@pytest.mark.parametrize(
    ("queries", "names"),
    [
        (["violin", "rooster barking"], ["violin", "rooster_barking"]),
        (["  Église -- d'été! "], ["église_d_été"]),
        (["e\u0301"], ["é"]),
        (["violin", "Violin", "violin!"], ["violin", "violin_2", "violin_3"]),
        (["residual", "without", "report"], ["residual_2", "without_2", "report_2"]),
        (["a_2", "a", "a"], ["a_2", "a", "a_3"]),
        (["../../etc/passwd"], ["etc_passwd"]),
        (["???"], ["query"]),
        (["小提琴 2"], ["小提琴_2"]),
        (["x" * 400], ["x" * 200]),
    ],
)
def test_output_names(queries: list[str], names: list[str]) -> None:
    assert output_names(queries) == names


@pytest.mark.parametrize("block", [1, 7, 800, 1600, 5000, 40000])
def test_levels_do_not_depend_on_blocks(block: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 16000 + 123)).astype(np.float32)
    samples[:, 3200:4800] = 0
    meter = LevelMeter(16000)
    for at in range(0, samples.shape[1], block):
        meter.update(samples[:, at : at + block])
    power = np.square(samples, dtype=np.float64).mean(axis=0)
    assert meter.level_db == pytest.approx(10 * math.log10(power.mean()))
    assert meter.hop_seconds == 0.1
    expected = [math.sqrt(power[at : at + 1600].mean()) for at in range(0, len(power), 1600)]
    assert meter.activity == pytest.approx(expected) and meter.activity[2] == 0.0


def test_silence_is_minus_infinity() -> None:
    meter = LevelMeter(8000)
    meter.update(np.zeros((1, 100), np.float32))
    assert meter.level_db == -math.inf and meter.activity == (0.0,)
