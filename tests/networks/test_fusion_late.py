"""Late fusion by hand."""

import torch

from trisep.networks.fusion import LateFusion


def test_logits_are_the_weighted_sum_by_hand() -> None:
    fusion = LateFusion(2)
    with torch.no_grad():
        fusion.scale.copy_(torch.tensor([2.0, -1.0]))
        fusion.bias.fill_(0.5)
    maps = torch.stack([torch.full((256, 1), 3.0), torch.full((256, 1), 10.0)])[None]
    weights = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.5, 0.25]]])
    # 2·1·3 + 0.5; −1·1·10 + 0.5; 2·0.5·3 − 0.25·10 + 0.5
    expected = torch.tensor([6.5, -9.5, 1.0])[None, :, None, None].expand(1, 3, 256, 1)
    torch.testing.assert_close(fusion(maps, weights), expected)


def test_a_fresh_fusion_weighs_all_maps_alike() -> None:
    maps = torch.randn(2, 4, 256, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LateFusion(4)(maps, torch.ones(2, 1, 4))[:, 0], maps.sum(dim=1))
