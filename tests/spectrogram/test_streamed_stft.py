"""Streamed STFT and overlap-add against the transform of the whole, in whatever portions the sound arrives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trisep.spectrogram.stft import OverlapAdd, StreamedSTFT, istft, stft
from trisep.types import SignalSettings

SMALL = SignalSettings(window_samples=64, hop_samples=16)
ODD_RATIO = SignalSettings(window_samples=60, hop_samples=16)


def streamed(waveform: Tensor, cuts: list[int], signal: SignalSettings) -> tuple[Tensor, Tensor]:
    """Frames [C, K, F], and the sound made of them again, both from portions cut at the given places."""
    analysis, synthesis = (
        StreamedSTFT(signal, num_channels=len(waveform)),
        OverlapAdd(signal, num_signals=len(waveform)),
    )
    borders = [0, *sorted(cuts), waveform.shape[1]]
    frames = [analysis.push(waveform[:, a:b]) for a, b in zip(borders, borders[1:], strict=False)] + [analysis.finish()]
    samples = [synthesis.push(part) for part in frames] + [synthesis.finish()]
    return torch.cat(frames, dim=1), torch.cat(samples, dim=1)


@settings(max_examples=60)
@given(
    num_samples=st.integers(0, 400),
    cuts=st.lists(st.integers(0, 400), max_size=5),
    signal=st.sampled_from([SMALL, ODD_RATIO]),
)
def test_equals_the_transform_of_the_whole(num_samples: int, cuts: list[int], signal: SignalSettings) -> None:
    waveform = torch.randn(2, num_samples, generator=torch.Generator().manual_seed(num_samples))
    frames, samples = streamed(waveform, [min(cut, num_samples) for cut in cuts], signal)
    padded = torch.nn.functional.pad(waveform, (0, 1)) if num_samples == 0 else waveform
    torch.testing.assert_close(frames.transpose(1, 2), stft(padded, signal), rtol=0, atol=1e-5)
    torch.testing.assert_close(samples[:, :num_samples], waveform, rtol=0, atol=1e-5)


def test_a_changed_spectrum_comes_back_as_istft_says() -> None:
    generator = torch.Generator().manual_seed(0)
    waveform, mask = torch.randn(1, 333, generator=generator), torch.rand(1, 21, 33, generator=generator)
    spectrum = stft(waveform, SMALL)
    synthesis = OverlapAdd(SMALL, num_signals=1)
    masked = spectrum.transpose(1, 2) * mask
    samples = torch.cat([synthesis.push(masked[:, :5]), synthesis.push(masked[:, 5:]), synthesis.finish()], dim=1)
    torch.testing.assert_close(samples[:, :333], istft(masked.transpose(1, 2), SMALL, 333), rtol=0, atol=1e-5)


def test_samples_are_given_as_soon_as_no_frame_can_change_them() -> None:
    analysis, synthesis = StreamedSTFT(SMALL, num_channels=1), OverlapAdd(SMALL, num_signals=1)
    frames = analysis.push(torch.randn(1, 160))
    # The last complete frame is centred on 128 (128 + 32 = 160), so the next begins at 144 − 32.
    assert frames.shape[1] == 9 and analysis.num_frames == 9
    assert synthesis.push(frames).shape[1] == 112


@pytest.mark.parametrize("position", [0, 1, 31, 32, 200, 399])
def test_a_click_stays_at_its_sample(position: int) -> None:
    waveform = torch.zeros(1, 400)
    waveform[0, position] = 1.0
    _, samples = streamed(waveform, [7, 100], SMALL)
    assert int(samples[0, :400].abs().argmax()) == position
    assert float(samples[0, position]) == pytest.approx(1.0, abs=1e-5)
