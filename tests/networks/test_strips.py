"""Encoder and decoder in strips of rows against both as a whole; what a decoder for one call lets go of."""

import weakref

import pytest
import torch
from conditioned_unet import conditioned_unet
from torch import nn

from trisep.networks import fusion, halving, strips
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import SplitDecoder
from trisep.networks.halving import HalvingConv
from trisep.networks.strips import joined_rows, strips_of


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


@pytest.mark.parametrize(("height", "num_strips"), [(8, 2), (128, 32)])
@pytest.mark.parametrize("train", [False, True])
def test_a_map_is_halved_in_strips_without_a_seam(
    height: int, num_strips: int, train: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 3, height, 6, generator=generator).contiguous(memory_format=torch.channels_last)
    normalization = nn.BatchNorm2d(5).train(train)
    assert normalization.running_mean is not None
    normalization.running_mean.uniform_(generator=generator)
    convolution, activation = HalvingConv(3, 5), nn.LeakyReLU(0.2)
    expected = nn.functional.conv2d(activation(x), convolution.weight, stride=2, padding=1)
    if train:
        mean, variance = expected.mean(dim=(0, 2, 3)), expected.var(dim=(0, 2, 3), unbiased=False)
    else:
        mean, variance = normalization.running_mean, torch.ones(5)
    expected = (expected - mean[:, None, None]) / (variance + normalization.eps).sqrt()[:, None, None]
    monkeypatch.setattr(strips, "_STRIP_VALUES", 2 * 3 * 6 * 4)
    seen = []
    monkeypatch.setattr(halving, "strips_of", lambda x: seen.append(strips_of(x)) or seen[-1])
    with torch.inference_mode():
        result = convolution.normalized(x, activation, normalization)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    assert len(seen[0]) == num_strips and result.is_contiguous(memory_format=torch.channels_last)


def test_a_map_of_two_frames_is_halved_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    convolution, x = HalvingConv(3, 5), torch.randn(1, 3, 8, 2)
    monkeypatch.setattr(strips, "_STRIP_VALUES", 1)
    monkeypatch.setattr(halving, "joined_rows", lambda *_: pytest.fail("it was cut"))
    with torch.inference_mode():
        result = convolution.normalized(x, nn.Identity(), nn.Identity())
    expected = nn.functional.conv2d(x, convolution.weight, stride=2, padding=1)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_joined_rows_lie_as_their_strips_do() -> None:
    rows = torch.randn(2, 3, 5, 4)
    for like in (torch.contiguous_format, torch.channels_last):
        joined = joined_rows((part.contiguous(memory_format=like) for part in rows.split([2, 3], dim=2)), 5)
        assert joined.equal(rows) and joined.is_contiguous(memory_format=like)


def test_a_decoder_for_one_call_gives_the_same_and_keeps_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    unet, vectors, x = conditioned_unet("transposed", "batch"), torch.randn(2, 3, 4), torch.randn(2, 1, 256, 24)
    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def watched(block: fusion.UpBlock, own: torch.Tensor) -> fusion._SharedLayer:
        layer = _shared_layer(block, own)
        alive.append(sum(tensor() is not None for tensor in made))
        made.append(weakref.ref(layer.shared))
        return layer

    _shared_layer = fusion._shared_layer
    monkeypatch.setattr(fusion, "_shared_layer", watched)
    with torch.inference_mode():
        expected = SplitDecoder(unet, unet.encode(x))(vectors)
        num_layers = len(alive)
        made.clear(), alive.clear()
        decoder = SplitDecoder(unet, unet.encode(x), once=True)
        assert decoder(vectors).equal(expected)
        assert alive == [0] * num_layers and num_layers >= 2
        with pytest.raises(AssertionError, match="made for one call"):
            decoder(vectors)
