"""HFRA: each fusion by its equation, and the audio embedding."""

import dataclasses

import pytest
import torch

from trisep.errors import ConfigError
from trisep.models.clipsep import Config as CLIPSepConfig
from trisep.models.hfra import HFRA, Config
from trisep.types import QueryEmbedding


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def vectors(num_queries: int = 3) -> torch.Tensor:
    return torch.randn(2, num_queries, 8, generator=torch.Generator().manual_seed(1))


def network(**changes: object) -> HFRA:
    torch.manual_seed(0)
    return dataclasses.replace(Config.tiny(), **changes).build().eval()  # type: ignore[arg-type]


def test_late_fusion_with_squashed_projections_is_clipsep() -> None:
    model = network(fusion="late", squash_projections=True)
    same = CLIPSepConfig.tiny().build().eval()
    same.load_state_dict(
        {key.replace("late_projection", "query_projection"): value for key, value in model.state_dict().items()}
    )
    query = QueryEmbedding(vectors=vectors())
    assert torch.equal(model(spectrogram(), query).masks, same(spectrogram(), query).masks)


def test_late_fusion_is_equation_2() -> None:
    model = network(fusion="late")
    weights = (vectors() @ model.late_projection.weight.T + model.late_projection.bias) * model.fusion.scale
    expected = torch.einsum("bqk,bkft->bqft", weights, model.unet(spectrogram())) + model.fusion.bias
    torch.testing.assert_close(model(spectrogram(), QueryEmbedding(vectors=vectors())).logits, expected)


def test_middle_fusion_is_equation_1_with_the_query_itself_at_the_bottleneck() -> None:
    model = network(fusion="middle", normalize_query=True, query_scale=2.0)
    maps = model.unet.encode(spectrogram())
    logits = model(spectrogram(), QueryEmbedding(vectors=vectors())).logits
    for query in range(3):
        unit = vectors()[:, query] / vectors()[:, query].norm(dim=-1, keepdim=True)
        tiled = 2 * unit[:, :, None, None] * torch.ones(2, 8, *maps[-1].shape[2:])
        decoded = model.unet.decode([*maps[:-1], torch.cat([maps[-1], tiled], dim=1)])
        expected = torch.einsum("k,bkft->bft", model.fusion.scale, decoded) + model.fusion.bias
        torch.testing.assert_close(logits[:, query], expected)


def test_hierarchical_fusion_with_a_silent_bottleneck_is_late_fusion() -> None:
    model = network()
    with torch.no_grad():
        model.fusion.middle_projection.weight.zero_()
    logits = model(spectrogram(), QueryEmbedding(vectors=vectors())).logits
    condition = model.fusion.middle_projection.bias[None, :, None, None]
    maps = model.unet.encode(spectrogram())
    shared = model.unet.decode([*maps[:-1], torch.cat([maps[-1], condition.expand(2, -1, *maps[-1].shape[2:])], dim=1)])
    torch.testing.assert_close(logits, model.fusion.late(shared, model.fusion.late_projection(vectors())))


@pytest.mark.parametrize(
    "changes", [{"fusion": "hierarchical"}, {"fusion": "middle"}, {"fusion": "late"}, {"modulate": True}]
)
def test_every_fusion_trains_every_parameter(changes: dict[str, object]) -> None:
    model = network(**changes, teacher_dim=5).train()
    output = model(spectrogram(), QueryEmbedding(vectors=vectors()))
    assert output.masks.shape == (2, 3, 256, 8)
    (output.masks.square().sum() + model.pool_audio(output.bottleneck).square().sum()).backward()
    assert [
        key for key, value in model.named_parameters() if value.grad is None or not value.grad.abs().max() > 0
    ] == []


def test_the_audio_embedding_is_the_pooled_bottleneck_in_the_teachers_dimension() -> None:
    plain, projected = network(), network(teacher_dim=5)
    bottleneck = plain.unet.encode(spectrogram())[-1]
    assert plain.embed_audio(spectrogram()).shape == (2, 8)
    torch.testing.assert_close(plain.embed_audio(spectrogram()), bottleneck.flatten(2).mean(dim=2))
    assert torch.equal(plain(spectrogram(), QueryEmbedding(vectors=vectors())).bottleneck, bottleneck)
    pooled = projected.unet.encode(spectrogram())[-1].flatten(2).mean(dim=2)
    layer = projected.audio_projection
    torch.testing.assert_close(projected.embed_audio(spectrogram()), pooled @ layer.weight.T + layer.bias)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="condition_channels: expected at least 1, got 0"):
        Config(condition_channels=0)
    assert Config(condition_channels=1).condition_channels == 1
    with pytest.raises(ConfigError, match="modulate: only hierarchical fusion has it, and fusion is late"):
        Config(fusion="late", modulate=True)
