"""The papers' losses: pure functions of tensors, and for each system a frozen configuration that calls them; a recipe
holds one.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from trisep.types import SpectralMixture


@dataclass(frozen=True, slots=True)
class LossTerms:
    """What a loss makes of one batch."""

    weighted: dict[str, Tensor]
    """Scalars that add up to what is minimised, by name."""
    observed: dict[str, Tensor] = field(default_factory=dict)
    """Scalars that are only logged."""

    @property
    def total(self) -> Tensor:
        """The scalar that is minimised."""
        terms = list(self.weighted.values())
        return sum(terms[1:], start=terms[0])


class Loss(Protocol):
    """A frozen dataclass that, called, runs the model on a batch and compares."""

    @property
    def needs(self) -> frozenset[str]:
        """Optional fields of `Mixture` that it reads: some of `captions`, `vocabulary`, `teacher`."""
        ...

    def __call__(self, model: nn.Module, batch: SpectralMixture) -> LossTerms:
        """One forward pass and its terms; `model` may be wrapped for several processes (see `unwrapped`)."""
        ...


def unwrapped(model: nn.Module) -> Any:
    """The network inside a wrapper for several processes: methods other than `forward` are called on it."""
    return getattr(model, "module", model)
