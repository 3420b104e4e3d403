"""SGN's terms against values worked out by hand."""

import math

import torch

from trisep.losses.masks import MaskLoss
from trisep.losses.semantic_grouping import SemanticGroupingLoss, presence_loss, token_loss
from trisep.models.sgn import Config
from trisep.types import Mixture, QueryEmbedding, SpectralMixture


def test_each_token_is_to_be_told_by_its_own_number() -> None:
    logits = torch.tensor([[[2.0, 0.0], [1.0, 3.0]], [[0.0, 0.0], [5.0, 0.0]]])
    softplus = [math.log1p(math.exp(value)) for value in (-2.0, -2.0, 0.0, 5.0)]
    torch.testing.assert_close(token_loss(logits), torch.tensor(sum(softplus) / 4))


def test_presence_is_that_of_the_labels_in_the_mixture() -> None:
    logits = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    labels = torch.tensor([[0, 2], [1, 1]])
    costs = [-1.0, -2.0, -3.0, 0.5, 0.0, -1.0]  # −x where the label is there, x where not
    torch.testing.assert_close(
        presence_loss(logits, labels), torch.tensor(sum(math.log1p(math.exp(x)) for x in costs) / 6)
    )


def test_the_terms_are_weighed_and_added_to_the_mask_loss() -> None:
    torch.manual_seed(0)
    model = Config.tiny().build().eval()
    sources = torch.rand(2, 2, 256, 8)
    query = QueryEmbedding(label_ids=torch.tensor([[0, 1], [2, 0]]))
    batch = SpectralMixture(Mixture(torch.zeros(2, 2, 8), None, query), sources, sources.sum(dim=1))
    mask = MaskLoss(kind="magnitude_l1")
    terms = SemanticGroupingLoss(mask=mask, token_weight=2.0, presence_weight=0.5)(model, batch)
    output = model((batch.magnitude + 1e-10).log().unsqueeze(1), query)
    assert list(terms.weighted) == ["mask", "token", "presence"]
    torch.testing.assert_close(terms.weighted["mask"], mask(model, batch).total)
    torch.testing.assert_close(terms.weighted["token"], 2 * token_loss(output.class_logits))
    torch.testing.assert_close(terms.weighted["presence"], presence_loss(output.presence_logits, query.label_ids) / 2)
