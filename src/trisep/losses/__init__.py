"""The papers' losses: pure functions of tensors, and a frozen configuration per system that calls them.

A recipe holds one such configuration. This package knows no optimiser, no data and no files.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from trisep.types import SpectralMixture


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The terms that a loss computes from one batch."""

    weighted: dict[str, Tensor]
    """Scalars by name whose sum is minimised."""
    observed: dict[str, Tensor] = field(default_factory=dict)
    """Scalars that are only logged."""

    @property
    def total(self) -> Tensor:
        """The scalar that is minimised."""
        terms = list(self.weighted.values())
        return sum(terms[1:], start=terms[0])


class Loss(Protocol):
    """A frozen dataclass that runs the model on a batch and compares the result with the targets."""

    @property
    def needs(self) -> frozenset[str]:
        """Optional fields of `Mixture` that it reads: some of `captions`, `vocabulary`, `teacher`."""
        ...

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """Run one forward pass and compute the terms; `model` may be distributed (see `unwrapped`)."""
        ...


def unwrapped(model: nn.Module) -> Any:
    """Return the network inside a distributed wrapper, on which methods other than `forward` are called."""
    return getattr(model, "module", model)
