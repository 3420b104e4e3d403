"""The U-Net: shapes, widths, skip connections, and conditions at its innermost decoder."""

import pytest
import torch
from torch import nn

from trisep.errors import ConfigError
from trisep.networks.audio_unet import AudioUNet, ChannelNorm, UNetConfig
from trisep.networks.halving import DoublingConv, HalvingConv


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
def test_every_level_halves_and_the_output_has_the_size_of_the_input(upsampling: str) -> None:
    config = UNetConfig(num_levels=3, base_width=2, max_width=4, out_channels=5, upsampling=upsampling)  # type: ignore[arg-type]
    network = AudioUNet(config)
    maps = network.encode(torch.randn(2, 1, 256, 16))
    assert [tuple(one.shape) for one in maps] == [(2, 2, 128, 8), (2, 4, 64, 4), (2, 4, 32, 2)]
    assert network.decode(maps).shape == (2, 5, 256, 16)


@pytest.mark.parametrize("frames", [2, 3, 4, 9])
def test_halving_and_doubling_are_the_plain_convolutions_at_every_width(frames: int) -> None:
    torch.manual_seed(0)
    picture, halving, doubling = torch.randn(2, 3, 8, frames), HalvingConv(3, 5), DoublingConv(3, 5, bias=True)
    expected = nn.functional.conv2d(picture, halving.weight, stride=2, padding=1)
    torch.testing.assert_close(halving(picture), expected)
    narrow = picture[..., : frames // 2]
    expected = nn.functional.conv_transpose2d(narrow, doubling.weight, doubling.bias, stride=2, padding=1)
    torch.testing.assert_close(doubling(narrow), expected)


def test_one_frame_in_bfloat16_reads_no_memory_that_was_never_written() -> None:
    # Shows the fault of oneDNN on processors with AMX alone: there, plain convolutions of these shapes give NaN.
    torch.manual_seed(0)
    halving, doubling = HalvingConv(64, 64), DoublingConv(64, 64, bias=False)
    picture = torch.randn(16, 64, 4, 2).contiguous(memory_format=torch.channels_last)
    for _ in range(5):
        freed = torch.full((1_000_000,), float("nan"))
        del freed
        with torch.autocast("cpu", torch.bfloat16):
            inner = halving(picture.clone().requires_grad_())
            inner.retain_grad()
            outer = doubling(inner)
        outer.square().sum().backward()
        assert inner.grad is not None
        assert all(tensor.isfinite().all() for tensor in (inner, outer, inner.grad))
        torch.testing.assert_close(inner.float(), halving(picture), atol=0.05, rtol=0.05)


def test_widths_double_up_to_the_limit_and_the_bottleneck_may_differ() -> None:
    assert UNetConfig().widths == (64, 128, 256, 512, 512, 512, 512)
    assert UNetConfig(num_levels=3, base_width=2, max_width=100).widths == (2, 4, 4)
    assert UNetConfig(num_levels=3, base_width=2, bottleneck_width=7).widths == (2, 4, 7)
    assert UNetConfig().time_multiple == 128


def test_the_published_network_has_its_number_of_parameters() -> None:
    # Counted by hand: 4 × 4 convolutions down, 3 × 3 convolutions up from concatenated maps, two numbers per normalised
    # channel.
    widths = [1, 64, 128, 256, 512, 512, 512, 512]
    down = sum(16 * before * after for before, after in zip(widths, widths[1:], strict=False))
    outer = [512, 512, 512, 256, 128, 64]
    up = sum(9 * (2 * 512 if level else 512) * width for level, width in enumerate(outer[:3]))
    up += 9 * (2 * 512 * 256 + 2 * 256 * 128 + 2 * 128 * 64 + 2 * 64 * 32) + 32
    norms = 2 * (1 + sum(widths[2:7]) + sum(outer))
    with torch.device("meta"):
        network = AudioUNet(UNetConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) == down + up + norms


def test_a_skip_connection_carries_what_the_bottleneck_cannot() -> None:
    torch.manual_seed(0)
    network = AudioUNet(UNetConfig(num_levels=2, base_width=2, max_width=2, out_channels=1)).eval()
    maps = network.encode(torch.randn(1, 1, 256, 8))
    changed = network.decode([maps[0] + 1, maps[1]])
    assert (changed - network.decode(maps)).abs().max() > 1e-3


def test_a_conditioned_network_differs_in_its_innermost_decoder_alone() -> None:
    config = UNetConfig(num_levels=3, base_width=2, max_width=4, out_channels=5)
    torch.manual_seed(0)
    plain, wider = AudioUNet(config), AudioUNet(config, condition_channels=6)
    shapes = {key: tuple(value.shape) for key, value in plain.state_dict().items()}
    changed = {key: tuple(value.shape) for key, value in wider.state_dict().items()}
    assert list(changed) == list(shapes)
    assert {key: shape for key, shape in changed.items() if shape != shapes[key]} == {"up.0.2.weight": (4, 4 + 6, 3, 3)}
    maps = wider.encode(torch.randn(2, 1, 256, 16))
    assert wider.decode([*maps[:-1], torch.cat([maps[-1], torch.randn(2, 6, 32, 2)], dim=1)]).shape == (2, 5, 256, 16)


@pytest.mark.parametrize("normalization", ["batch", "channel"])
def test_the_transposed_network_moves_with_its_input(normalization: str) -> None:
    torch.manual_seed(0)
    settings = {"num_levels": 2, "base_width": 2, "max_width": 4, "out_channels": 1}
    network = AudioUNet(UNetConfig(**settings, upsampling="transposed", normalization=normalization)).eval()  # type: ignore[arg-type]
    picture = torch.zeros(1, 1, 256, 64)
    picture[..., 24:32] = torch.randn(8)
    moved = picture.roll(4, dims=-1)
    with torch.inference_mode():
        torch.testing.assert_close(network(moved)[..., 16:48], network(picture)[..., 12:44])


def test_channel_normalisation_gives_every_bin_mean_0_and_variance_1_over_its_channels() -> None:
    norm = ChannelNorm(6)
    x = torch.randn(2, 6, 3, 5) * 4 + 2
    expected = (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x), expected)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    torch.testing.assert_close(norm(x), expected * norm.weight[:, None, None] + norm.bias[:, None, None])


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
def test_a_decoder_with_channel_normalisation_knows_neither_batch_nor_mode(upsampling: str) -> None:
    torch.manual_seed(0)
    config = UNetConfig(num_levels=3, base_width=2, max_width=4, upsampling=upsampling, normalization="channel")  # type: ignore[arg-type]
    network = AudioUNet(config).train()
    assert not [layer for layer in network.up.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    with torch.inference_mode():
        maps = network.encode(torch.randn(3, 1, 256, 16))
        masks = network.decode(maps)
        torch.testing.assert_close(network.decode([one[1:2] for one in maps]), masks[1:2])
        assert torch.equal(network.eval().decode(maps), masks)


@pytest.mark.parametrize("settings", [{"num_levels": 1}, {"num_levels": 9}, {"base_width": 0}, {"out_channels": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="|".join(settings)):
        UNetConfig(**settings)  # type: ignore[arg-type]


def with_statistics(network: AudioUNet) -> AudioUNet:
    """Give every normalisation statistics, scales and shifts that change something."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_mean, layer.bias.data):
                nn.init.normal_(values)  # type: ignore[arg-type]
            for values in (layer.running_var, layer.weight.data):
                nn.init.uniform_(values, 0.3, 3.0)  # type: ignore[arg-type]
    return network


def layer_by_layer(network: AudioUNet, picture: torch.Tensor) -> torch.Tensor:
    """Decode by the plain layers, one after the other."""
    x, maps = network.input_norm(picture), []
    for layer in network.down:
        x = nn.Sequential.forward(layer, x)  # type: ignore[arg-type]
        maps.append(x)
    for block, skip in zip(network.up_blocks, [*reversed(maps[:-1]), None], strict=True):
        x = nn.Sequential.forward(block, x)
        x = x if skip is None else torch.cat([skip, x], dim=1)
    return x


@pytest.mark.parametrize("normalization", ["batch", "channel"])
@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
@pytest.mark.parametrize("train", [False, True])
def test_folded_and_in_place_equals_layer_by_layer_in_value_and_gradient(
    train: bool, upsampling: str, normalization: str
) -> None:
    torch.manual_seed(0)
    shape = {"num_levels": 3, "base_width": 4, "max_width": 8, "out_channels": 5}
    config = UNetConfig(**shape, upsampling=upsampling, normalization=normalization)  # type: ignore[arg-type]
    network = with_statistics(AudioUNet(config)).double().train(train)
    picture, values = torch.randn(2, 1, 256, 16).double(), []
    for run in (network, lambda x: layer_by_layer(network, x)):
        network.zero_grad()
        decoded = run(picture)
        (decoded * torch.linspace(-1, 1, decoded.numel()).view_as(decoded)).sum().backward()
        values.append([decoded.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    assert len(values[0]) == 1 + len(list(network.parameters()))
    for value, expected in zip(*values, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("num_sums", [1, 2, 5, 7])
@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
def test_sums_over_kernels_are_sums_over_maps_in_value_and_gradient(upsampling: str, num_sums: int) -> None:
    torch.manual_seed(0)
    shape = {"num_levels": 3, "base_width": 4, "max_width": 8, "out_channels": 5}
    network = AudioUNet(UNetConfig(**shape, upsampling=upsampling)).double()  # type: ignore[arg-type]
    nn.init.normal_(network.output_layer.bias)  # type: ignore[arg-type]
    picture, weights = torch.randn(2, 1, 256, 16).double(), torch.randn(2, num_sums, 5).double()
    with torch.no_grad():
        without_gradient = network.decode_sums(network.encode(picture), weights)
    values = []
    for way in ("kernels", "maps"):
        network.zero_grad()
        asked = weights.clone().requires_grad_()
        maps = network.encode(picture)
        decoded = (
            network.decode_sums(maps, asked)
            if way == "kernels"
            else torch.einsum("bkft,bqk->bqft", network.decode(maps), asked)
        )
        (decoded * torch.linspace(-1, 1, decoded.numel()).view_as(decoded)).sum().backward()
        gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
        values.append([decoded.detach(), asked.grad, *gradients])
    torch.testing.assert_close(without_gradient, values[1][0], rtol=1e-9, atol=1e-9)
    for value, expected in zip(*values, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))  # type: ignore[union-attr]


def test_the_first_map_lies_channels_last_though_the_input_has_one_channel() -> None:
    network = AudioUNet(UNetConfig(num_levels=2, base_width=4, max_width=8, out_channels=3)).eval()
    first = next(network.down.parameters())
    assert first.shape == (4, 1, 4, 4) and first.stride() == (16, 1, 4, 1)
    assert network.encode(torch.randn(2, 1, 256, 8))[0].is_contiguous(memory_format=torch.channels_last)
