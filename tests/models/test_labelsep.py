"""LabelSep: labels as vectors that are learned."""

import dataclasses

import pytest
import torch

from trisep.errors import ConfigError
from trisep.models.clipsep import Config as CLIPSepConfig
from trisep.models.labelsep import Config, LabelSep
from trisep.types import QueryEmbedding


def network() -> LabelSep:
    torch.manual_seed(0)
    return Config.tiny().build().eval()


def spectrogram() -> torch.Tensor:
    return torch.randn(2, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def test_it_is_clipsep_asked_with_the_label_s_own_embedding() -> None:
    model = network()
    same = CLIPSepConfig.tiny().build().eval()
    same.load_state_dict(
        {key: value for key, value in model.state_dict().items() if not key.startswith("label_embeddings")}
    )
    label_ids = torch.tensor([[2, 0], [1, 1]])
    vectors = torch.stack([torch.stack([model.label_embeddings.weight[label] for label in row]) for row in label_ids])
    output = model(spectrogram(), QueryEmbedding(label_ids=label_ids))
    assert torch.equal(output.masks, same(spectrogram(), QueryEmbedding(vectors=vectors)).masks)
    assert torch.equal(output.bottleneck, model.unet.encode(spectrogram())[-1])
    assert (output.masks[0, 0] - output.masks[0, 1]).abs().max() > 1e-4
    assert torch.equal(output.masks[1, 0], output.masks[1, 1])


def test_only_the_labels_that_were_asked_for_are_learned_from() -> None:
    model = network()
    model(spectrogram(), QueryEmbedding(label_ids=torch.tensor([[2], [0]]))).masks.sum().backward()
    learned = model.label_embeddings.weight.grad.abs().amax(dim=1) > 0
    assert learned.tolist() == [True, False, True]


def test_a_query_of_another_kind_and_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="LabelSep reads label ids, and the query carries none"):
        network()(spectrogram(), QueryEmbedding(vectors=torch.zeros(2, 1, 8)))
    with pytest.raises(IndexError):
        network()(spectrogram(), QueryEmbedding(label_ids=torch.tensor([[3], [0]])))
    with pytest.raises(ConfigError, match="num_labels: expected at least 1, got 0"):
        dataclasses.replace(Config.tiny(), num_labels=0)
    assert dataclasses.replace(Config.tiny(), num_labels=1).build().label_embeddings.weight.shape == (1, 8)
