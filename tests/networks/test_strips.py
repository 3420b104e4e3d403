"""The decoder in strips of rows against the decoder as a whole."""

import pytest
import torch
from conditioned_unet import conditioned_unet

from trisep.networks import fusion, strips
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import SplitDecoder
from trisep.networks.strips import strips_of


def _decoded(unet: AudioUNet, num_frames: int = 24) -> torch.Tensor:
    """Two mixtures, each asked by three vectors, with weights and a modulation."""
    generator = torch.Generator().manual_seed(1)
    x, vectors, weights = (
        torch.randn(shape, generator=generator) for shape in ((2, 1, 256, num_frames), (2, 3, 4), (2, 3, 5))
    )
    widths = [block.convolution.out_channels for block in unet.up_blocks[:-1]]
    modulation = [tuple(torch.randn(2, 2, 3, width, generator=generator)) for width in widths]
    with torch.inference_mode():
        return SplitDecoder(unet, unet.encode(x))(vectors, weights, modulation)


@pytest.mark.parametrize("normalization", ["batch", "channel"])
@pytest.mark.parametrize("num_values", [1, 5000])
def test_strips_leave_no_seam(normalization: str, num_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = conditioned_unet("transposed", normalization, num_outputs=5)
    expected = _decoded(unet)
    seen = []
    monkeypatch.setattr(strips, "_STRIP_VALUES", num_values)
    monkeypatch.setattr(fusion, "strips_of", lambda x: seen.append(strips_of(x)) or seen[-1])
    torch.testing.assert_close(_decoded(unet), expected, atol=1e-5, rtol=1e-5)
    assert len(seen[0]) >= 5


@pytest.mark.parametrize(("upsampling", "num_frames"), [("bilinear", 24), ("transposed", 8)])
def test_what_cannot_be_cut_is_decoded_whole(upsampling: str, num_frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = conditioned_unet(upsampling, "batch", num_outputs=5)
    expected = _decoded(unet, num_frames)
    monkeypatch.setattr(strips, "_STRIP_VALUES", 1)
    torch.testing.assert_close(_decoded(unet, num_frames), expected, atol=1e-5, rtol=1e-5)


def test_a_network_of_two_levels_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    config = UNetConfig(num_levels=2, base_width=4, max_width=8, upsampling="transposed", out_channels=5)
    unet = AudioUNet(config, condition_channels=4).eval()
    expected = _decoded(unet, 16)
    monkeypatch.setattr(strips, "_STRIP_VALUES", 1)
    torch.testing.assert_close(_decoded(unet, 16), expected, atol=1e-5, rtol=1e-5)


def test_only_large_maps_in_inference_are_cut() -> None:
    large = torch.zeros(1, 64, 128, 1024)
    assert strips_of(large) == [(0, 128)]
    with torch.inference_mode():
        assert strips_of(large) == [(top, top + 8) for top in range(0, 128, 8)]
        assert strips_of(torch.zeros(1, 64, 128, 32)) == [(0, 128)]
        assert strips_of(large.to("meta")) == [(0, 128)]
