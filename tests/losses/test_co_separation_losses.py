"""Co-Separation's losses, with numbers worked out by hand."""

import itertools
from math import exp, log

import pytest
import torch
from torch import nn

from trisep.losses.co_separation import CoSeparationLoss, consistency, orthogonality
from trisep.types import MaskOutput, Mixture, Parts, QueryEmbedding, SpectralMixture

LOGITS = torch.tensor([[[[0.0, 2.0], [1.0, 0.0]]]])


def cost(wrong_by: float) -> float:
    """Cross-entropy of two classes whose logits differ by so much in favour of the wrong one."""
    return log(1 + exp(wrong_by))


@pytest.mark.parametrize(
    ("labels", "in_any_order", "expected"),
    [
        ([0, 1], False, (cost(2.0) + cost(1.0)) / 2),
        ([0, 1], True, (cost(-2.0) + cost(-1.0)) / 2),
        ([1, 0], True, (cost(-2.0) + cost(-1.0)) / 2),
        ([1, -1], False, cost(-2.0)),
        ([0, -1], True, cost(2.0)),
    ],
)
def test_the_consistency_is_the_mean_over_the_parts_that_there_are(
    labels: list[int], in_any_order: bool, expected: float
) -> None:
    found = consistency(LOGITS, torch.tensor([[labels]]), in_any_order=in_any_order)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_orthogonality_is_the_squared_cosine_of_the_parts_that_there_are() -> None:
    vectors = torch.tensor([[[[3.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]]])
    assert float(orthogonality(vectors, torch.tensor([[[4, 2], [1, -1]]]))) == pytest.approx(0.5 / 2)


class Sums(nn.Module):
    """A model whose two videos have the masks ½ and ¼ everywhere, and room for three parts each, of which two and one
    are there.
    """

    def forward(self, log_magnitude: torch.Tensor, query: QueryEmbedding) -> MaskOutput:
        masks = torch.tensor([0.5, 0.25])[None, :, None, None].expand(1, 2, *log_magnitude.shape[2:])
        nothing = torch.ones(1, 2)
        vectors = torch.cat([torch.eye(2) + torch.tensor([[0.0, 0.0], [1.0, 0.0]]), nothing]).expand(1, 2, 3, 2)
        logits = torch.cat([LOGITS[0, 0], nothing]).expand(1, 2, 3, 2)
        parts = Parts(torch.tensor([[[1, 0, -1], [1, -1, -1]]]), logits, vectors)
        return MaskOutput(masks=masks, parts=parts)


def test_the_whole_is_the_weighted_sum_of_its_terms() -> None:
    sources = torch.ones(1, 2, 256, 8)
    mixture = Mixture(sources=torch.zeros(1, 2, 4), interference=None, query=QueryEmbedding())
    batch = SpectralMixture(mixture, sources, magnitude=torch.full((1, 256, 8), exp(1.0) - 1))
    terms = CoSeparationLoss(consistency_weight=2.0, orthogonality_weight=3.0)(Sums(), batch)
    heard = (2 * cost(-2.0) + cost(-1.0)) / 3  # two parts of the first video, one of the second
    assert float(terms.weighted["mask"]) == pytest.approx((0 + 0.25) / 2, rel=1e-5)  # the weight log(1 + A) is 1
    assert float(terms.weighted["consistency"]) == pytest.approx(2 * heard, rel=1e-5)
    assert float(terms.weighted["orthogonality"]) == pytest.approx(3 * 0.5 / 2, rel=1e-5)
    assert float(terms.observed["num_parts"]) == 1.5
    assert set(CoSeparationLoss()(Sums(), batch).weighted) == {"mask", "consistency"}


def test_sizes_that_all_differ_are_kept_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, logits = (torch.randn(2, 3, 4, size, generator=generator) for size in (5, 7))
    labels = torch.tensor(
        [[[1, 0, 6, -1], [2, -1, -1, -1], [3, 5, -1, -1]], [[4, 4, 2, 1], [0, 1, -1, -1], [6, 2, 3, -1]]]
    )
    pairs, chosen, own = 0.0, 0.0, 0.0
    for batch, query in itertools.product(range(2), range(3)):
        present = [part for part in range(4) if labels[batch, query, part] >= 0]
        for one, other in itertools.combinations(present, 2):
            pairs += (
                float(torch.cosine_similarity(vectors[batch, query, one], vectors[batch, query, other], dim=0)) ** 2
            )
        costs = -logits[batch, query].log_softmax(dim=-1)
        wanted = [int(labels[batch, query, part]) for part in present]
        own += sum(float(costs[part, label]) for part, label in zip(present, wanted, strict=True))
        orders = itertools.permutations(wanted)
        chosen += min(sum(float(costs[p, w]) for p, w in zip(present, order, strict=True)) for order in orders)
    assert float(orthogonality(vectors, labels)) == pytest.approx(pairs / 6, rel=1e-5)
    count = int((labels >= 0).sum())
    assert float(consistency(logits, labels)) == pytest.approx(own / count, rel=1e-5)
    assert float(consistency(logits, labels, in_any_order=True)) == pytest.approx(chosen / count, rel=1e-5)
