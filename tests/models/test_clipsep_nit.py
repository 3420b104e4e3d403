"""CLIPSep-NIT: noise heads in training, without and with them at test."""

import dataclasses

import pytest
import torch

from trisep.errors import ConfigError
from trisep.models.clipsep import CLIPSep
from trisep.models.clipsep import Config as PlainConfig
from trisep.models.clipsep_nit import CLIPSepNIT, Config
from trisep.types import QueryEmbedding


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def query(num_queries: int = 2) -> QueryEmbedding:
    return QueryEmbedding(vectors=torch.randn(2, num_queries, 8, generator=torch.Generator().manual_seed(1)))


def network(**changes: object) -> CLIPSepNIT:
    torch.manual_seed(0)
    return dataclasses.replace(Config.tiny(), **changes).build()  # type: ignore[arg-type]


def plain(model: CLIPSepNIT) -> CLIPSep:
    """CLIPSep with the same weights, noise heads left out."""
    same = PlainConfig.tiny().build()
    same.load_state_dict(
        {key: value for key, value in model.state_dict().items() if not key.startswith("noise_projections")}
    )
    return same.eval()


def test_noise_heads_serve_training_and_are_dropped_at_test_unless_kept() -> None:
    model = network(num_noise_heads=3)
    trained = model(spectrogram(), query()).noise_masks
    assert trained is not None and trained.shape == (2, 3, 256, 8)
    assert 0 <= trained.min() and trained.max() <= 1 and trained.std() > 0
    model.eval()
    dropped = model(spectrogram(), query())
    assert dropped.noise_masks is None
    model.keep_noise_heads = True
    kept = model(spectrogram(), query())
    assert kept.noise_masks is not None
    torch.testing.assert_close(kept.masks, dropped.masks, rtol=0, atol=1e-6)
    again = network(num_noise_heads=3, keep_noise_heads=True).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(spectrogram(), query()).noise_masks, kept.noise_masks)


def test_its_query_masks_are_those_of_clipsep() -> None:
    model = network().eval()
    ours, theirs = model(spectrogram(), query()), plain(model)(spectrogram(), query())
    assert torch.equal(ours.masks, theirs.masks) and torch.equal(ours.bottleneck, theirs.bottleneck)


@pytest.mark.parametrize("num_queries", [1, 2, 3])
def test_noise_heads_read_the_sum_of_query_vectors_or_the_mean_of_projections(num_queries: int) -> None:
    for kind in ("sum", "mean_of_projections"):
        model = network(noise_query=kind, keep_noise_heads=True).eval()
        projected = query(num_queries).vectors @ model.query_projection.weight.T + model.query_projection.bias
        heard = projected.sigmoid().sum(dim=1) if kind == "sum" else projected.mean(dim=1)
        intermediate = model.unet(spectrogram())
        noise_masks = model(spectrogram(), query(num_queries)).noise_masks
        for index, head in enumerate(model.noise_projections):
            weights = (heard @ head.weight.T + head.bias).sigmoid() * model.fusion.scale
            expected = (torch.einsum("bk,bkft->bft", weights, intermediate) + model.fusion.bias).sigmoid()
            torch.testing.assert_close(noise_masks[:, index], expected)


def test_the_order_of_the_queries_does_not_move_the_noise() -> None:
    model = network(keep_noise_heads=True).eval()
    flipped = QueryEmbedding(vectors=query(3).vectors.flip(1))  # type: ignore[union-attr]
    torch.testing.assert_close(model(spectrogram(), flipped).noise_masks, model(spectrogram(), query(3)).noise_masks)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_noise_heads: expected at least 1, got 0"):
        Config(num_noise_heads=0)
    assert Config(num_noise_heads=1).num_noise_heads == 1
