"""ResUNetDecouple+: its estimates from its maps bin by bin, its residual blocks, and its depth against the paper's."""

import cmath
import dataclasses
import math

import pytest
import torch
from torch import nn

from trisep.errors import ConfigError
from trisep.models.resunet_decouple import Config, ResidualBlock, ResUNetConfig, ResUNetDecouple
from trisep.spectrogram.stft import istft, stft


def network(num_sources: int = 2, **shape: object) -> ResUNetDecouple:
    torch.manual_seed(0)
    config = dataclasses.replace(Config.tiny(), num_sources=num_sources, window_samples=16, hop_samples=4)
    return dataclasses.replace(config, **shape).build().eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("num_sources", [1, 2, 3])
def test_magnitude_and_phase_of_each_bin_are_those_of_the_paper(num_sources: int) -> None:
    model = network(num_sources)
    mixture = 0.3 * torch.randn(1, 61, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        spectrum = stft(mixture, model.config.transform)[0]
        maps, estimates = model.maps(spectrum.abs()[None])[0], model(mixture)[0]
    expected = torch.zeros(num_sources, *spectrum.shape, dtype=torch.complex64)
    for source in range(num_sources):
        mask, real, imaginary, added = (maps[kind * num_sources + source] for kind in range(4))
        for row in range(spectrum.shape[0]):
            for frame in range(spectrum.shape[1]):
                heard = complex(spectrum[row, frame])
                bounded = 1 / (1 + math.exp(-float(mask[row, frame])))
                magnitude = max(0.0, bounded * abs(heard) + float(added[row, frame]))
                turn = cmath.phase(complex(float(real[row, frame]), float(imaginary[row, frame])))
                expected[source, row, frame] = cmath.rect(magnitude, cmath.phase(heard) + turn)
    torch.testing.assert_close(estimates, istft(expected, model.config.transform, 61), atol=1e-5, rtol=1e-4)


def test_the_phase_can_be_turned_and_the_magnitude_can_exceed_the_mixture_s() -> None:
    model = network(1)
    mixture = 0.3 * torch.randn(2, 64, generator=torch.Generator().manual_seed(2))
    last = model.output[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([100.0, -1.0, 0.0, 0.0]))  # all of the magnitude, half a turn, nothing added
        torch.testing.assert_close(model(mixture), -mixture[:, None], atol=1e-5, rtol=1e-4)
        last.bias.copy_(torch.tensor([-100.0, 1.0, 0.0, 7.0]))  # nothing of the magnitude, no turn, 7 added
        magnitude = stft(model(mixture), model.config.transform).abs()
        assert magnitude.mean() > 2 * stft(mixture, model.config.transform).abs().mean()


def test_a_residual_block_adds_its_layers_to_its_input_or_the_projection_of_it() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 6)
    for width in (3, 4):
        block = ResidualBlock(3, width).eval()
        once = nn.functional.conv2d(
            nn.functional.leaky_relu(x / math.sqrt(1 + 1e-5), 0.01), block.layers[0][2].weight, padding=1
        )
        twice = nn.functional.conv2d(
            nn.functional.leaky_relu(once / math.sqrt(1 + 1e-5), 0.01), block.layers[1][2].weight, padding=1
        )
        short = x if width == 3 else nn.functional.conv2d(x, block.shortcut.weight, block.shortcut.bias)
        torch.testing.assert_close(block(x), twice + short, atol=1e-5, rtol=1e-4)


def test_the_highest_bin_gets_what_the_bin_below_it_gets_and_any_length_will_do() -> None:
    model = network()
    for num_samples in (1, 30, 61):
        mixture = torch.randn(1, num_samples)
        maps = model.maps(stft(mixture, model.config.transform).abs())
        assert maps.shape == (1, 8, 9, 1 + num_samples // 4)
        assert torch.equal(maps[:, :, -1], maps[:, :, -2]) and not torch.equal(maps[:, :, -2], maps[:, :, -3])
        assert model(mixture).shape == (1, 2, num_samples)


def test_its_depth_is_the_paper_s_and_settings_out_of_range_are_refused() -> None:
    with torch.device("meta"):
        layers = list(Config().build().modules())
    spatial = [one for one in layers if isinstance(one, nn.Conv2d | nn.ConvTranspose2d) and one.kernel_size == (3, 3)]
    # 6 × 4 × 2 down, 4 × 4 × 2 between, 6 × (1 + 4 × 2) up, 4 × 2 behind; the paper counts the last 1 × 1, too.
    assert len(spatial) + 1 == 143
    assert not network().contract.answers_queries and network().contract.domain == "waveform"
    with pytest.raises(ConfigError, match="num_sources: expected at least 1, got 0"):
        Config(num_sources=0)
    for wrong in ({"widths": ()}, {"widths": (4, 0)}, {"num_blocks": 0}, {"num_inner": -1}):
        with pytest.raises(ConfigError, match="expected at least one, of at least 1 each"):
            ResUNetConfig(**wrong)  # type: ignore[arg-type]
    least = dataclasses.replace(Config.tiny(), unet=ResUNetConfig(widths=(1,), num_blocks=1, num_inner=0)).build()
    assert len(least.inner) == 0 and least(torch.zeros(1, 3000)).shape == (1, 2, 3000)
    assert least(torch.zeros(1, 3000)).isfinite().all()  # silence has no phase
    with pytest.raises(ConfigError, match="window_samples: expected at least twice"):
        Config(window_samples=100, hop_samples=60)
