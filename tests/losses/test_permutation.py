"""The permutation-invariant loss against a search over all permutations."""

import itertools

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from trisep.losses.masks import weighted_bce
from trisep.losses.permutation import assigned_mean, cheapest_assignment, permutation_costs, permutation_invariant_bce


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def case(
    num_sources: int, num_estimates: int | None = None, batch: int = 5
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets and weights of random masks, 6 × 7 bins."""
    logits = 6 * random(batch, num_estimates or num_sources, 6, 7, seed=num_sources) - 3
    return logits, (random(batch, num_sources, 6, 7, seed=10) > 0.5).float(), 3 * random(batch, 6, 7, seed=11)


def brute_force(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The definition, word by word: every mixture tries all its arrangements."""
    num_sources = target.shape[1]
    least = []
    for one, truth, bins in zip(logits, target, weight, strict=True):
        tries = [
            sum(binary_cross_entropy_with_logits(one[j], truth[i], bins) for i, j in enumerate(order)) / num_sources
            for order in itertools.permutations(range(len(one)), num_sources)
        ]
        least.append(torch.stack([torch.as_tensor(value) for value in tries]).min())
    return torch.stack(least).mean()


@pytest.mark.parametrize("num_sources", [1, 2, 3, 4])
def test_the_loss_equals_a_search_over_all_permutations(num_sources: int) -> None:
    logits, target, weight = case(num_sources)
    torch.testing.assert_close(permutation_invariant_bce(logits, target, weight), brute_force(logits, target, weight))


def test_estimates_left_over_are_free() -> None:
    logits, target, weight = case(2, 4)
    torch.testing.assert_close(permutation_invariant_bce(logits, target, weight), brute_force(logits, target, weight))


def test_the_order_of_the_estimates_does_not_matter_and_each_mixture_has_its_own() -> None:
    logits, target, weight = case(3)
    shuffled = torch.stack(
        [one[list(order)] for one, order in zip(logits, itertools.permutations(range(3)), strict=False)]
    )
    torch.testing.assert_close(
        permutation_invariant_bce(shuffled, target, weight), permutation_invariant_bce(logits, target, weight)
    )
    certain = 20 * target - 10
    backwards = torch.cat([certain[:2], certain[2:].flip(1)])
    found = cheapest_assignment(permutation_costs(backwards, target, weight))
    assert found.tolist() == [[0, 1, 2]] * 2 + [[2, 1, 0]] * 3
    torch.testing.assert_close(
        permutation_invariant_bce(backwards, target, weight), weighted_bce(certain, target, weight)
    )


def test_the_assignment_by_hand_is_not_the_greedy_one() -> None:
    costs = torch.tensor([[[1.0, 2.0], [1.5, 9.0]], [[0.0, 4.0], [4.0, 0.0]]])
    assert cheapest_assignment(costs).tolist() == [[1, 0], [0, 1]]
    assert float(assigned_mean(costs)) == pytest.approx((2 + 1.5 + 0 + 0) / 4)


def test_the_gradient_is_that_of_the_chosen_arrangement_and_of_finite_differences() -> None:
    logits, target, weight = (values.double() for values in case(3, batch=2))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: permutation_invariant_bce(values, target, weight), logits)
    chosen = cheapest_assignment(permutation_costs(logits, target, weight))
    ordered = logits.detach().gather(1, chosen[:, :, None, None].expand_as(target)).requires_grad_()
    weighted_bce(ordered, target, weight).backward()
    permutation_invariant_bce(logits, target, weight).backward()
    assert logits.grad is not None and ordered.grad is not None
    torch.testing.assert_close(logits.grad.gather(1, chosen[:, :, None, None].expand_as(target)), ordered.grad)


def test_too_few_estimates_are_refused_and_a_cost_that_is_no_number_is_passed_on() -> None:
    with pytest.raises(ValueError, match="at least as many estimates as sources, got 2 for 3"):
        cheapest_assignment(torch.zeros(1, 3, 2))
    assert assigned_mean(torch.tensor([[[float("nan"), 1.0], [1.0, float("nan")]]])).isnan()
