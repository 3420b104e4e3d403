"""The log-frequency grid against grid_sample and the original warp, and by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trisep.spectrogram.log_frequency import (
    MaskGrid,
    log_magnitude,
    log_row_of_frequency,
    settings_at_rate,
    to_linear_frequency,
    to_log_frequency,
)
from trisep.types import SignalSettings

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "log_frequency_warp.safetensors"


def grid_sample(values: torch.Tensor, num_rows: int, *, to_log: bool) -> torch.Tensor:
    """The warp as the lineage builds it: a grid for `grid_sample` with aligned corners; here in double precision."""
    rows = np.linspace(-1, 1, num_rows)
    rows = (np.power(21, (rows + 1) / 2) - 11) / 10 if to_log else np.log(10 * rows + 11) / np.log(21) * 2 - 1
    grid = torch.from_numpy(np.stack(np.meshgrid(np.linspace(-1, 1, values.shape[-1]), rows), axis=-1))
    return torch.nn.functional.grid_sample(values.double()[None], grid[None], align_corners=True)[0]


def magnitudes(num_rows: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, num_rows, 12, generator=torch.Generator().manual_seed(seed)) * 10


@pytest.mark.parametrize(("num_bins", "num_log_bins"), [(513, 256), (257, 64), (1025, 256)])
def test_both_ways_equal_grid_sample(num_bins: int, num_log_bins: int) -> None:
    linear, log = magnitudes(num_bins), magnitudes(num_log_bins, seed=1)
    there, back = to_log_frequency(linear, num_log_bins), to_linear_frequency(log, num_bins)
    torch.testing.assert_close(there.double(), grid_sample(linear, num_log_bins, to_log=True), atol=1e-5, rtol=0)
    torch.testing.assert_close(back.double(), grid_sample(log, num_bins, to_log=False), atol=1e-5, rtol=0)


def test_three_rows_by_hand() -> None:
    # Rows −1, 0, 1 of the log grid read −1, (√21 − 11)/10 and 1: bins 0, (√21 − 1)/20·4 and 4 of five.
    middle = (21**0.5 - 1) / 20 * 4
    ramp = torch.arange(5.0)[:, None]
    torch.testing.assert_close(to_log_frequency(ramp, 3)[:, 0], torch.tensor([0.0, middle, 4.0]))
    # Back: bin 2 of five, position 0, reads row log₂₁(11)·2 of 0 to 2.
    row = float(np.log(11) / np.log(21) * 2)
    torch.testing.assert_close(
        to_linear_frequency(torch.arange(3.0)[:, None], 5)[[0, 2, 4], 0], torch.tensor([0.0, row, 2.0])
    )


def test_a_rising_spectrum_rises_and_a_constant_one_stays() -> None:
    rising = torch.linspace(0, 1, 513)[:, None]
    for warped in (to_log_frequency(rising), to_linear_frequency(rising[:256], 513)):
        assert (warped.diff(dim=0) >= 0).all()
    assert torch.equal(to_log_frequency(torch.ones(513, 3)), torch.ones(256, 3))
    assert torch.equal(to_linear_frequency(torch.ones(256, 3), 513), torch.ones(513, 3))


def test_a_smooth_spectrum_comes_back() -> None:
    smooth = torch.cos(torch.linspace(0, 3, 513))[:, None]
    assert (to_linear_frequency(to_log_frequency(smooth), 513) - smooth).abs().max() < 1e-3


def test_the_row_of_a_frequency_is_where_the_warp_puts_it() -> None:
    spectrum = torch.zeros(513, 1)
    spectrum[100:103] = torch.tensor([[0.5], [1.0], [0.5]])
    row = float(log_row_of_frequency(torch.tensor([101 / 512]))[0])
    assert abs(int(to_log_frequency(spectrum).argmax()) - row) <= 1
    torch.testing.assert_close(log_row_of_frequency(torch.tensor([0.0, 1.0, 1.7])), torch.tensor([0.0, 255.0, 255.0]))


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference cases are not beside this checkout")
def test_it_agrees_with_the_original_warp() -> None:
    case = load_file(REFERENCE)
    log, back = case["log_frequency"], case["back"]
    assert (to_log_frequency(case["magnitude"]) - log).abs().max() <= 5e-5 * (log.max() - log.min())
    assert (to_linear_frequency(log, 513) - back).abs().max() <= 5e-5 * (back.max() - back.min())


def test_log_magnitude_is_the_logarithm_and_stays_finite_in_silence() -> None:
    torch.testing.assert_close(log_magnitude(torch.full((2, 256, 3), math.e)), torch.ones(2, 1, 256, 3))
    torch.testing.assert_close(log_magnitude(torch.zeros(256, 1)), torch.full((1, 256, 1), math.log(1e-10)))


@pytest.mark.parametrize("above_nyquist", ["top", "mute", "keep"])
def test_bins_above_the_model_are_read_as_one(above_nyquist: str) -> None:
    model, target = SignalSettings(), settings_at_rate(SignalSettings(), 44100)
    masks = torch.rand(2, 256, 6, generator=torch.Generator().manual_seed(0))
    grid = MaskGrid(model, target, above_nyquist=above_nyquist)  # type: ignore[arg-type]
    values = grid.read(masks, first_mask_frame=0, first_frame=0, num_frames=3)
    bins = torch.arange(target.num_bins) * target.sample_rate_hz / target.window_samples
    above = values[..., bins > model.sample_rate_hz / 2]
    assert values.shape == (2, 3, target.num_bins) and above.shape[-1] > 800
    top = masks[:, None, int(log_row_of_frequency(torch.tensor([0.875])).ceil()) :, 0].mean(dim=-1)
    expected = {"top": top, "mute": torch.zeros(2, 1), "keep": torch.ones(2, 1)}[above_nyquist]
    torch.testing.assert_close(above[:, 0], expected.expand(-1, above.shape[-1]))
