"""The noise-invariant loss against a search over all permutations, and its regulariser by hand."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy

from trisep.losses.masks import weighted_bce
from trisep.losses.noise_invariant import (
    NoiseInvariantLoss,
    noise_activation,
    noise_invariant_bce,
    noise_invariant_costs,
    noise_regularizer,
)
from trisep.types import MaskOutput, Mixture, QueryEmbedding, SpectralMixture


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def case(num_sources: int, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query masks, noise masks, targets and weights; their sums pass 1 in about a fifth of the bins."""
    masks, noise = (0.9 * random(batch, num_sources, 6, 7, seed=num_sources + offset) for offset in (0, 20))
    return (
        masks,
        0.6 * noise,
        (random(batch, num_sources, 6, 7, seed=10) > 0.5).float(),
        3 * random(batch, 6, 7, seed=11),
    )


def brute_force(masks: torch.Tensor, noise: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Eq. 2 word by word, every mixture trying all arrangements; over N, as the module says."""
    least = []
    for query, other, truth, bins in zip(masks, noise, target, weight, strict=True):
        totals = []
        for order in itertools.permutations(range(len(query))):
            terms = [
                binary_cross_entropy((query[i] + other[j]).clamp(max=1), truth[i], bins) for i, j in enumerate(order)
            ]
            totals.append(torch.stack(terms).mean())
        least.append(torch.stack(totals).min())
    return torch.stack(least).mean()


@pytest.mark.parametrize("num_sources", [2, 3, 4])
def test_the_loss_equals_a_search_over_all_permutations(num_sources: int) -> None:
    masks, noise, target, weight = case(num_sources)
    assert 0.05 < ((masks + noise) > 1).float().mean() < 0.5
    torch.testing.assert_close(
        noise_invariant_bce(masks, noise, target, weight), brute_force(masks, noise, target, weight)
    )


def test_the_arrangement_is_each_mixtures_own() -> None:
    masks, noise, target, weight = case(2)
    parts = [
        noise_invariant_bce(masks[i : i + 1], noise[i : i + 1], target[i : i + 1], weight[i : i + 1])
        for i in range(len(masks))
    ]
    torch.testing.assert_close(noise_invariant_bce(masks, noise, target, weight), torch.stack(parts).mean())
    flipped = torch.cat([noise[:1], noise[1:].flip(1)])
    torch.testing.assert_close(
        noise_invariant_bce(masks, flipped, target, weight), noise_invariant_bce(masks, noise, target, weight)
    )
    together = noise_invariant_costs(masks, noise, target, weight).mean(dim=0)
    shared = torch.minimum(together.diagonal().sum(), together.flip(1).diagonal().sum()) / 2
    assert noise_invariant_bce(masks, noise, target, weight) < shared - 1e-4


def test_without_noise_it_is_the_usual_loss() -> None:
    logits = 6 * random(3, 2, 6, 7, seed=0) - 3
    _, _, target, weight = case(2, batch=3)
    expected = weighted_bce(logits, target, weight)
    torch.testing.assert_close(
        noise_invariant_bce(torch.sigmoid(logits), torch.zeros_like(logits), target, weight), expected
    )


def test_noise_masks_that_hold_the_rest_make_the_loss_vanish() -> None:
    _, _, target, weight = case(3)
    half = 0.5 * target
    assert float(noise_invariant_bce(half, half.flip(1), target, weight)) == pytest.approx(0, abs=1e-6)


def test_the_regularizer_by_hand_and_its_hinge_on_batch_means() -> None:
    noise = torch.tensor([0.1, 0.5])[:, None, None, None].expand(2, 1, 3, 4)
    noise = torch.cat([noise, torch.full((2, 1, 3, 4), 0.2)], dim=1)
    assert float(noise_activation(noise)) == pytest.approx(0.3 + 0.2)
    assert float(noise_regularizer(noise, 0.25)) == pytest.approx(0.25)
    assert float(noise_regularizer(noise, 0.4)) == pytest.approx(
        0.1
    )  # the hinges of the two mixtures apart would give 0.15
    assert float(noise_regularizer(noise, 0.6)) == 0
    masks, _, target, weight = case(2, batch=2)
    plain = noise_invariant_bce(masks[..., :3, :4], noise, target[..., :3, :4], weight[..., :3, :4])
    arguments = masks[..., :3, :4], noise, target[..., :3, :4], weight[..., :3, :4]
    torch.testing.assert_close(NoiseInvariantLoss().terms(*arguments).total, plain + 0.1 * 0.25)
    torch.testing.assert_close(
        NoiseInvariantLoss(level=0.4, regularization=2.0).terms(*arguments).total, plain + 2 * 0.1
    )
    torch.testing.assert_close(NoiseInvariantLoss(level=None).terms(*arguments).total, plain)


@pytest.mark.parametrize("num_sources", [2, 3])
def test_the_gradient_is_that_of_finite_differences(num_sources: int) -> None:
    masks, noise, target, weight = (values[:2, ..., :2, :3].double() for values in case(num_sources))
    assert noise_activation(noise) > 0.1  # above the hinge

    def loss(query: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return NoiseInvariantLoss(level=0.1).terms(query, other, target, weight).total

    assert torch.autograd.gradcheck(lambda query: loss(query, noise), masks.requires_grad_())
    assert torch.autograd.gradcheck(lambda other: loss(masks.detach(), other), noise.requires_grad_())


def test_gradients_stay_finite_where_the_sum_is_exactly_one() -> None:
    masks = torch.full((1, 1, 1, 3), 0.5).requires_grad_()
    noise = torch.tensor([[[[0.5, 0.75, 0.25]]]]).requires_grad_()
    target = torch.zeros(1, 1, 1, 3)
    loss = noise_invariant_bce(masks, noise, target, torch.ones(1, 1, 3))
    loss.backward()
    assert masks.grad is not None and noise.grad is not None
    torch.testing.assert_close(loss, (200 - torch.log(torch.tensor(0.25))) / 3)
    torch.testing.assert_close(masks.grad.flatten(), torch.tensor([0.0, 0.0, 4 / 3]))
    torch.testing.assert_close(noise.grad, masks.grad)


def test_half_precision_masks_are_compared_in_single_precision() -> None:
    masks, noise, target, weight = case(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = NoiseInvariantLoss().terms(masks.bfloat16(), noise.bfloat16(), target, weight).total
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, NoiseInvariantLoss().terms(masks.bfloat16().float(), noise.bfloat16().float(), target, weight).total
    )


class Fixed(nn.Module):
    """Masks of two sources and of an absent query, and of two noise heads."""

    def forward(self, log_magnitude: torch.Tensor, query: QueryEmbedding) -> MaskOutput:
        masks, noise = random(2, 3, 256, 4, seed=1), 0.5 * random(2, 2, 256, 4, seed=2)
        return MaskOutput(masks=masks, noise_masks=noise)


@pytest.mark.parametrize("logarithmic", [True, False])
def test_a_batch_is_compared_on_its_sources_and_not_on_absent_queries(logarithmic: bool) -> None:
    sources = 3 * random(2, 2, 256, 4, seed=3)
    heard = sources.sum(dim=1)
    batch = SpectralMixture(Mixture(torch.zeros(2, 2, 8), None, QueryEmbedding()), sources, heard)
    terms = NoiseInvariantLoss(logarithmic_weight=logarithmic)(Fixed(), batch)
    output = Fixed()(heard, QueryEmbedding())
    weight = torch.log1p(heard).clamp(1e-3, 10) if logarithmic else heard
    target = (sources > 0.5 * heard.unsqueeze(1)).float()
    expected = noise_invariant_bce(output.masks[:, :2], output.noise_masks, target, weight)
    torch.testing.assert_close(terms.weighted["mask"], expected)
    torch.testing.assert_close(terms.weighted["noise"], 0.1 * (output.noise_masks.mean(dim=(2, 3)).sum() / 2 - 0.25))
