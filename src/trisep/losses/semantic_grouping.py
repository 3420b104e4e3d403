"""SGN's loss (Mo and Tian 2024): the mask loss, and two terms that bind each token to its label.

Every token is to be told from the others by a classifier, and its group is to tell whether its label is in the mixture.
The weights of the terms, 1 each, are ours.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trisep.losses import LossTerms
from trisep.losses.masks import MaskLoss
from trisep.spectrogram.log_frequency import log_magnitude
from trisep.types import SpectralMixture


@dataclass(frozen=True, kw_only=True, slots=True)
class SemanticGroupingLoss:
    """`mask` + `token_weight` · `token_loss` + `presence_weight` · `presence_loss`."""

    mask: MaskLoss = field(default_factory=MaskLoss)
    token_weight: float = 1.0
    presence_weight: float = 1.0

    @property
    def needs(self) -> frozenset[str]:
        """The loss needs no optional field."""
        return frozenset()

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Run the model with the labels of the sources as its queries and compute the three terms."""
        query = batch.mixture.query
        output = model(log_magnitude(batch.magnitude), query)
        assert output.class_logits is not None and output.presence_logits is not None and query.label_ids is not None
        terms = self.mask.terms(output, batch)
        terms["token"] = self.token_weight * token_loss(output.class_logits)
        terms["presence"] = self.presence_weight * presence_loss(output.presence_logits, query.label_ids)
        return LossTerms(terms)


def token_loss(class_logits: Float[Tensor, "B L L"]) -> Float[Tensor, ""]:
    """Compute the mean cross-entropy of each token against its own number."""
    own = torch.arange(class_logits.shape[1], device=class_logits.device).expand(class_logits.shape[:2])
    return nn.functional.cross_entropy(class_logits.transpose(1, 2), own)


def presence_loss(presence_logits: Float[Tensor, "B L"], label_ids: Int[Tensor, "B N"]) -> Float[Tensor, ""]:
    """Compute the mean binary cross-entropy against whether each label is one of the mixture's."""
    truth = torch.zeros_like(presence_logits).scatter(1, label_ids, 1.0)
    return nn.functional.binary_cross_entropy_with_logits(presence_logits, truth)
