"""The residual block: the identity at first, the arithmetic of its docstring, and the same with folded statistics."""

import pytest
import torch
from torch import nn

from trisep.errors import ConfigError
from trisep.networks import residual, strips
from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.residual import ResidualBlock
from trisep.networks.strips import activated_rows


def _trained(channels: int) -> ResidualBlock:
    """A block whose parameters and statistics are all away from where they began."""
    block = ResidualBlock(channels)
    for value in [*block.parameters(), *(v for v in block.buffers() if v.is_floating_point())]:
        value.data.uniform_(0.3, 1.7)
    return block


def test_a_new_block_is_the_identity_in_both_modes() -> None:
    x = torch.randn(2, 3, 8, 8)
    block = ResidualBlock(3)
    assert torch.equal(block(x), x)
    assert torch.equal(block.eval()(x), x)


def test_a_block_computes_what_its_docstring_says() -> None:
    x = torch.randn(2, 3, 8, 6)
    block = _trained(3).eval()
    hidden = nn.functional.conv2d(x.clamp_min(0), block.widen.weight, padding=1)
    hidden = block.widen_norm(hidden).clamp_min(0)
    expected = x + block.narrow_norm(torch.einsum("oi,bihw->bohw", block.narrow.weight[:, :, 0, 0], hidden))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("height", [8, 9, 128])
def test_a_large_map_passes_a_block_in_strips_without_a_seam(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, 3, height, 6).contiguous(memory_format=torch.channels_last)
    block = _trained(3).eval()
    expected = block(x).detach()
    monkeypatch.setattr(strips, "_STRIP_VALUES", 3 * 6 * 4)
    shapes = []
    monkeypatch.setattr(residual, "activated_rows", lambda *rows: shapes.append(rows[1:3]) or activated_rows(*rows))
    with torch.inference_mode():
        result, inside = block(x), x.clone()
        torch.testing.assert_close(result, expected)
        assert block(inside, in_place=True) is inside and inside.equal(result)
    assert shapes == 2 * [(top - 1, min(top + 4, height) + 1) for top in range(0, height, 4)]


def test_a_block_in_training_mode_takes_its_statistics_over_the_whole_map(monkeypatch: pytest.MonkeyPatch) -> None:
    x, block = torch.randn(1, 3, 8, 6), _trained(3)
    expected = block(x).detach()
    monkeypatch.setattr(strips, "_STRIP_VALUES", 1)
    with torch.inference_mode():
        torch.testing.assert_close(block(x), expected)


def test_training_reaches_every_parameter_after_the_first_step() -> None:
    block = _trained(3)
    block(torch.randn(2, 3, 8, 8)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in block.parameters())


def test_the_encoder_applies_its_blocks_at_the_levels_that_are_named() -> None:
    plain = AudioUNet(UNetConfig(num_levels=3, base_width=4, max_width=8)).eval()
    refined = AudioUNet(UNetConfig(num_levels=3, base_width=4, max_width=8, residual_levels=(1,))).eval()
    refined.load_state_dict(plain.state_dict(), strict=False)
    refined.residual["1"] = _trained(8).eval()
    x = torch.randn(1, 1, 256, 16)
    before, after = plain.encode(x), refined.encode(x)
    assert torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1], refined.residual["1"](before[1]))
    assert not torch.allclose(after[2], before[2])


def test_a_level_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"residual_levels: expected levels from 0 to 2, got \(3,\)"):
        UNetConfig(num_levels=3, residual_levels=(3,))
