"""Hierarchical fusion by its equation, query by query."""

import pytest
import torch

from trisep.networks.audio_unet import AudioUNet, UNetConfig
from trisep.networks.fusion import HierarchicalFusion


@pytest.mark.parametrize("squash", [False, True])
def test_it_is_equation_5_query_by_query(squash: bool) -> None:
    torch.manual_seed(0)
    unet = AudioUNet(UNetConfig(num_levels=2, base_width=2, max_width=3, out_channels=4), condition_channels=5).eval()
    fusion = HierarchicalFusion(6, 5, 4, squash=squash)
    torch.nn.init.normal_(fusion.late.scale)
    torch.nn.init.normal_(fusion.late.bias)
    vectors, picture = torch.randn(2, 3, 6), torch.randn(2, 1, 256, 8)
    with torch.inference_mode():
        maps = unet.encode(picture)
        logits = fusion(unet, maps, vectors)
        assert logits.shape == (2, 3, 256, 8)
        for query in range(3):
            late, middle = (layer(vectors[:, query]) for layer in (fusion.late_projection, fusion.middle_projection))
            if squash:
                late, middle = late.sigmoid(), middle.sigmoid()
            tiled = middle[:, :, None, None] * torch.ones(2, 5, *maps[-1].shape[2:])
            decoded = unet.decode([maps[0], torch.cat([maps[1], tiled], dim=1)])
            expected = (late[:, :, None, None] * fusion.late.scale[:, None, None] * decoded).sum(
                dim=1
            ) + fusion.late.bias
            torch.testing.assert_close(logits[:, query], expected)


def test_the_query_acts_at_both_places() -> None:
    torch.manual_seed(0)
    unet = AudioUNet(UNetConfig(num_levels=2, base_width=2, max_width=3, out_channels=4), condition_channels=5).eval()
    fusion = HierarchicalFusion(6, 5, 4, squash=False)
    maps, vectors = unet.encode(torch.randn(1, 1, 256, 8)), torch.randn(1, 2, 6)
    for silent in (fusion.late_projection, fusion.middle_projection):
        weight = silent.weight.detach().clone()
        with torch.inference_mode():
            silent.weight.zero_()
            logits = fusion(unet, maps, vectors)
            silent.weight.copy_(weight)
        assert (logits[:, 0] - logits[:, 1]).abs().max() > 1e-3


def test_modulation_scales_and_shifts_every_normalised_map_but_the_last() -> None:
    torch.manual_seed(0)
    config = UNetConfig(num_levels=3, base_width=2, max_width=3, out_channels=4)
    unet = AudioUNet(config, condition_channels=5).eval()
    fusion = HierarchicalFusion(6, 5, 4, squash=False, modulated=config.widths[-2::-1])
    maps, vectors = unet.encode(torch.randn(2, 1, 256, 8)), torch.randn(2, 3, 6)
    plain = HierarchicalFusion(6, 5, 4, squash=False)
    plain.load_state_dict(fusion.state_dict(), strict=False)
    torch.testing.assert_close(fusion(unet, maps, vectors), plain(unet, maps, vectors))  # it begins without effect
    for layer in fusion.modulation:
        torch.nn.init.normal_(layer.projection.weight)
    with torch.inference_mode():
        logits = fusion(unet, maps, vectors)
        for query in range(3):
            late, middle = (layer(vectors[:, query]) for layer in (fusion.late_projection, fusion.middle_projection))
            x = torch.cat([maps[2], middle[:, :, None, None] * torch.ones(2, 5, *maps[2].shape[2:])], dim=1)
            for block, modulation, skip in zip(unet.up[:-1], fusion.modulation, (maps[1], maps[0]), strict=True):
                scale, shift = modulation.projection(vectors[:, query] / 6**0.5)[:, :, None, None].chunk(2, dim=1)
                x = torch.cat([skip, block(x) * (1 + scale) + shift], dim=1)
            expected = (late[:, :, None, None] * unet.up[-1](x)).sum(dim=1)
            torch.testing.assert_close(logits[:, query], expected)
