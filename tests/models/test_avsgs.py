"""AVSGS: the boxes of a picture as a graph, unrolled into the vectors of its sub-graphs."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from trisep.errors import ConfigError
from trisep.models.avsgs import AVSGS, Config, distinct_labels
from trisep.networks.graph import pool_nodes
from trisep.types import QueryEmbedding

LABELS = torch.tensor([[[2, 2, 0, -1], [1, -1, -1, -1]]])


def network() -> AVSGS:
    torch.manual_seed(0)
    return replace(Config.tiny(), query_scale=0.5).build()


def spectrogram() -> torch.Tensor:
    return torch.randn(1, 1, 256, 8, generator=torch.Generator().manual_seed(0)) * 3 - 5


def boxes() -> torch.Tensor:
    return torch.randn(1, 2, 4, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def sub_graphs(model: AVSGS, video: int, num_boxes: int) -> list[torch.Tensor]:
    """The recurrent unit unrolled twice, its gates written out, over the graph of the boxes that there are."""
    there = torch.ones(1, num_boxes, dtype=torch.bool)
    nodes = F.leaky_relu(model.attention(0.5 * boxes()[:, video, :num_boxes], there), 0.2)
    state = pool_nodes(model.edges(nodes, there), there)[0]
    assert state.shape == (16,)
    output, outputs, cell = torch.zeros(16), [], model.unroll
    for _ in range(2):
        read = (cell.weight_ih @ output + cell.bias_ih).chunk(3)
        kept = (cell.weight_hh @ state + cell.bias_hh).chunk(3)
        reset, update = (read[0] + kept[0]).sigmoid(), (read[1] + kept[1]).sigmoid()
        output = state = (1 - update) * (read[2] + reset * kept[2]).tanh() + update * state
        outputs.append(output)
    return outputs


def test_each_sub_graph_makes_a_mask_and_there_are_as_many_as_classes() -> None:
    model = network().eval()
    output = model(spectrogram(), QueryEmbedding(box_vectors=boxes(), box_labels=LABELS))
    assert torch.equal(output.bottleneck, model.unet.encode(spectrogram())[-1])
    found = output.masks[0]
    for video, (num_boxes, num_parts) in enumerate(((3, 2), (1, 1))):
        maps, total = model.unet.encode(spectrogram()), torch.zeros(256, 8)
        for vector in sub_graphs(model, video, num_boxes)[:num_parts]:
            tiled = vector[None, :, None, None].expand(-1, -1, *maps[-1].shape[2:])
            total += model.unet.decode([*maps[:-1], torch.cat([maps[-1], tiled], dim=1)]).sigmoid()[0, 0]
        torch.testing.assert_close(found[video], total.clamp(max=1), rtol=1e-5, atol=1e-5)


def test_in_training_the_parts_are_given_with_the_labels_they_may_have() -> None:
    parts = network()(spectrogram(), QueryEmbedding(box_vectors=boxes(), box_labels=LABELS)).parts
    assert parts.labels.tolist() == [[[2, 0], [1, -1]]]
    assert parts.label_logits.shape == (1, 2, 2, 4) and parts.vectors.shape == (1, 2, 2, 16)


def test_the_distinct_labels_come_in_order_and_once() -> None:
    assert distinct_labels(torch.tensor([[[5, 5, 3, 5, 9, 3]]]), 3).tolist() == [[[5, 3, 9]]]
    assert distinct_labels(torch.tensor([[[5, 3], [0, -1]]]), 3).tolist() == [[[5, 3, -1], [0, -1, -1]]]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="graph_channels: expected a multiple of twice num_heads, 8, got 20"):
        Config(graph_channels=20)
    with pytest.raises(ConfigError, match="graph_channels: expected a multiple of twice num_heads, 8, got 0"):
        Config(graph_channels=0)
    for name in ("num_parts", "num_heads", "image_width"):
        with pytest.raises(ConfigError, match="num_parts, num_heads and image_width must be at least 1"):
            Config(**{name: 0})
    assert Config(num_parts=1, num_heads=1, graph_channels=2, image_width=1).graph_channels == 2
    with pytest.raises(ConfigError, match="reads the vectors of boxes"):
        network()(spectrogram(), QueryEmbedding(box_labels=LABELS))
