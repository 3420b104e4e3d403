"""Layers over graphs of different sizes, against loops over nodes."""

import torch
from torch.nn import functional as F

from trisep.networks.graph import EdgeConvolution, GraphAttention, pool_nodes

IS_THERE = torch.tensor([[True, True, True, False], [True, False, False, False]])


def nodes() -> torch.Tensor:
    return torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))


def test_attention_is_the_papers_for_every_head_and_node() -> None:
    torch.manual_seed(1)
    layer = GraphAttention(6, 8, num_heads=2)
    found, x = layer(nodes(), IS_THERE), nodes()[0]
    weight = layer.values.weight.reshape(2, 4, 6)
    for head in range(2):
        values = [weight[head] @ x[j] for j in range(4)]
        for i in range(3):
            scores = [layer.target[head] @ values[i] + layer.source[head] @ values[j] for j in range(3)]
            shares = torch.stack([F.leaky_relu(score, 0.2) for score in scores]).softmax(dim=0)
            expected = sum(share * value for share, value in zip(shares, values, strict=False))
            torch.testing.assert_close(found[0, i, 4 * head : 4 * head + 4], expected)
    torch.testing.assert_close(found[1, 0], layer.values(nodes()[1, 0]))  # alone, a node attends to itself


def test_edge_convolution_takes_the_largest_edge() -> None:
    torch.manual_seed(1)
    layer = EdgeConvolution(6, 5)
    found, x = layer(nodes(), IS_THERE), nodes()[0]
    for i in range(3):
        edges = [layer.edges(torch.cat([x[i], x[j] - x[i]])) for j in range(3)]
        torch.testing.assert_close(found[0, i], torch.stack(edges).amax(dim=0))


def test_what_is_not_there_changes_nothing() -> None:
    torch.manual_seed(1)
    attention, edges = GraphAttention(6, 8, 2), EdgeConvolution(8, 5)
    pooled = pool_nodes(edges(attention(nodes(), IS_THERE), IS_THERE), IS_THERE)
    other = nodes().masked_fill(~IS_THERE.unsqueeze(-1), 9.0)
    assert torch.equal(pool_nodes(edges(attention(other, IS_THERE), IS_THERE), IS_THERE), pooled)


def test_pooling_joins_maximum_and_mean() -> None:
    values = torch.tensor([[[1.0, 4.0], [3.0, 0.0], [9.0, 9.0]]])
    assert pool_nodes(values, torch.tensor([[True, True, False]])).tolist() == [[3.0, 4.0, 2.0, 2.0]]
