"""Reading a model's mask on another STFT's grid: equal at the model's own rate, and at the right Hz and seconds at any
other.
"""

import pytest
import torch

from trisep.spectrogram.log_frequency import MaskGrid, settings_at_rate, to_linear_frequency
from trisep.types import SignalSettings

MODEL = SignalSettings()


def test_at_the_models_rate_it_is_the_models_own_chain() -> None:
    masks = torch.rand(2, 256, 9, generator=torch.Generator().manual_seed(0))
    read = MaskGrid(MODEL, settings_at_rate(MODEL, 16000)).read(masks, first_mask_frame=0, first_frame=0, num_frames=9)
    torch.testing.assert_close(read.transpose(1, 2), to_linear_frequency(masks, MODEL.num_bins), rtol=0, atol=2e-6)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_hop_and_window_last_about_as_long_at_any_rate(rate_hz: int) -> None:
    signal = settings_at_rate(MODEL, rate_hz)
    assert signal.hop_samples / rate_hz == pytest.approx(0.016, rel=0.02)
    assert signal.window_samples == 4 * signal.hop_samples


def test_the_hop_at_44100_hz_is_the_smooth_number_next_to_the_exact_one() -> None:
    assert settings_at_rate(MODEL, 44100).hop_samples == 700


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_every_bin_reads_its_own_frequency_and_time(rate_hz: int) -> None:
    signal = settings_at_rate(MODEL, rate_hz)
    # A mask that is linear in time and in the log row; its value at (Hz, seconds) is known in closed form.
    rows, frames = torch.arange(256)[:, None] / 255, torch.arange(40)[None] / 100
    read = MaskGrid(MODEL, signal).read((0.5 * rows + frames)[None], first_mask_frame=0, first_frame=3, num_frames=20)[
        0
    ]
    hz = torch.arange(signal.num_bins) * rate_hz / signal.window_samples
    seconds = (3 + torch.arange(20)) * signal.hop_samples / rate_hz
    linear = hz[hz <= 8000] / 8000 * 2 - 1
    row = torch.log(10 * linear + 11) / torch.log(torch.tensor(21.0))
    expected = 0.5 * row[None] + seconds[:, None] * 16000 / 256 / 100
    torch.testing.assert_close(read[:, : len(row)], expected, rtol=0, atol=1e-5)


def test_above_the_models_nyquist() -> None:
    signal = settings_at_rate(MODEL, 48000)
    masks = torch.zeros(1, 256, 2)
    masks[:, 250:] = 0.6
    above = torch.arange(signal.num_bins) * 48000 / signal.window_samples > 8000
    values = {
        rule: MaskGrid(MODEL, signal, above_nyquist=rule).read(masks, first_mask_frame=0, first_frame=0, num_frames=1)[
            0, 0, above
        ]
        for rule in ("top", "mute", "keep")
    }
    assert torch.equal(values["mute"], torch.zeros(int(above.sum()))) and torch.equal(
        values["keep"], torch.ones(int(above.sum()))
    )
    # 7 kHz lies at row ln(18.5)/ln(21) · 255 = 244.4, so the top band is rows 245 to 255, six of them 0.6.
    torch.testing.assert_close(values["top"], torch.full_like(values["top"], 0.6 * 6 / 11))


def test_an_unknown_rule_above_nyquist_is_refused(unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match="above_nyquist"):
        MaskGrid(MODEL, MODEL, above_nyquist="loud")  # type: ignore[arg-type]


def test_frames_before_counts_exactly() -> None:
    grid = MaskGrid(MODEL, settings_at_rate(MODEL, 44100))
    for model_frame in (0, 1, 7, 1000, 12345):
        count = grid.frames_before(model_frame)
        assert (count - 1) * 700 / 44100 <= model_frame * 256 / 16000 < count * 700 / 44100
    assert grid.frames_before(-1) == 0
