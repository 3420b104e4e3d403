"""The losses on samples, against values worked out by hand."""

import pytest
import torch
from torch import Tensor, nn

from trisep.losses.waveform import WaveformLoss, waveform_costs
from trisep.models import Contract, Reads
from trisep.types import Mixture, QueryEmbedding, SpectralMixture

SOURCES = torch.tensor([[[9.0, 1.0, 2.0, 9.0], [9.0, 0.0, -1.0, 9.0]]])
ESTIMATES = torch.tensor([[[0.0, 1.0], [1.0, 4.0]]])


class Fixed(nn.Module):
    """Estimates that do not depend on what they are asked with; it notes what it was given."""

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self.contract = Contract(domain="waveform", reads=reads, context_samples=1)
        self.heard: list[Tensor] = []

    def forward(self, mixture: Tensor, query: QueryEmbedding) -> Tensor:
        self.heard.append(mixture)
        return ESTIMATES


def batch(interference: Tensor | None = None) -> SpectralMixture:
    nothing = torch.zeros(1, 2, 256, 1)
    return SpectralMixture(Mixture(SOURCES, interference, QueryEmbedding()), nothing, nothing[:, 0])


def test_costs_of_every_pair() -> None:
    costs = waveform_costs(ESTIMATES, SOURCES[..., 1:3], kind="squared")
    # source [1, 2] with [0, 1]: (1 + 1) / 2, with [1, 4]: (0 + 4) / 2; source [0, −1]: (0 + 4) / 2, (1 + 25) / 2
    torch.testing.assert_close(costs, torch.tensor([[[1.0, 2.0], [2.0, 13.0]]]))
    costs = waveform_costs(ESTIMATES, SOURCES[..., 1:3], kind="absolute")
    torch.testing.assert_close(costs, torch.tensor([[[1.0, 1.0], [1.0, 3.0]]]))


@pytest.mark.parametrize(("kind", "least", "in_order"), [("squared", 2.0, 7.0), ("absolute", 1.0, 2.0)])
def test_the_best_order_counts_unless_the_model_is_asked_and_the_context_is_left_out(
    kind: str, least: float, in_order: float
) -> None:
    loss = WaveformLoss(kind=kind)  # type: ignore[arg-type]
    blind = Fixed("nothing")
    torch.testing.assert_close(loss(blind, batch()).total, torch.tensor(least))
    asked = Fixed("vectors")
    torch.testing.assert_close(loss(asked, batch()).total, torch.tensor(in_order))


def test_the_model_hears_the_whole_mixture_with_what_no_query_names() -> None:
    noise = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    blind = Fixed("nothing")
    WaveformLoss()(blind, batch(noise))
    assert torch.equal(blind.heard[0], SOURCES.sum(dim=1) + noise)


def test_the_whole_length_of_the_estimates_is_compared() -> None:
    longer = torch.tensor([[[9.0, 1.0, 2.0, 5.0, 9.0], [9.0, 0.0, -1.0, 4.0, 9.0]]])

    class Right(Fixed):
        """Estimates that are right but for the last sample, which is 3 too large."""

        def forward(self, mixture: Tensor, query: QueryEmbedding) -> Tensor:
            return longer[..., 1:4] + torch.tensor([0.0, 0.0, 3.0])

    nothing = torch.zeros(1, 2, 256, 1)
    heard = SpectralMixture(Mixture(longer, None, QueryEmbedding()), nothing, nothing[:, 0])
    torch.testing.assert_close(WaveformLoss()(Right("vectors"), heard).total, torch.tensor(3.0))
