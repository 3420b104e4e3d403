"""PIT: masks that no query chooses."""

import dataclasses

import pytest
import torch

from trisep.errors import ConfigError
from trisep.losses.permutation import permutation_invariant_bce
from trisep.models.pit import PIT, Config
from trisep.types import QueryEmbedding


def network(num_sources: int = 2) -> PIT:
    torch.manual_seed(0)
    return dataclasses.replace(Config.tiny(), num_sources=num_sources).build().eval()


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


@pytest.mark.parametrize("num_sources", [2, 3])
def test_each_mask_is_a_weighted_sum_of_the_maps_whatever_the_query(num_sources: int) -> None:
    model = network(num_sources)
    output = model(spectrogram(), QueryEmbedding())
    weights = model.head.weight[:, :, 0, 0]
    expected = torch.einsum("nk,bkft->bnft", weights, model.unet(spectrogram())) + model.head.bias[:, None, None]
    torch.testing.assert_close(output.logits, expected)
    assert torch.equal(output.bottleneck, model.unet.encode(spectrogram())[-1])
    assert output.masks.shape == (2, num_sources, 256, 8)
    assert torch.equal(model(spectrogram(), QueryEmbedding(vectors=torch.ones(2, 5, 8))).masks, output.masks)
    assert torch.equal(model(spectrogram()).masks, output.masks)


def test_exchanging_the_masks_costs_nothing_under_its_loss() -> None:
    model = network()
    target = (torch.rand(2, 2, 256, 8, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    loss = permutation_invariant_bce(model(spectrogram()).logits, target, torch.ones(2, 256, 8))
    with torch.no_grad():
        model.head.weight.copy_(model.head.weight.flip(0))
        model.head.bias.copy_(model.head.bias.flip(0))
    exchanged = permutation_invariant_bce(model(spectrogram()).logits, target, torch.ones(2, 256, 8))
    torch.testing.assert_close(exchanged, loss)


def test_it_says_that_its_assignment_is_the_oracle_s_and_refuses_settings_out_of_range() -> None:
    assert not network().contract.answers_queries
    with pytest.raises(ConfigError, match="num_sources: expected at least 1, got 0"):
        Config(num_sources=0)
    assert network(1)(spectrogram()).masks.shape == (2, 1, 256, 8)
