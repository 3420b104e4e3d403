"""AudioScope's loss: targets tried one by one, and the whole on sounds that are assigned by hand."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from trisep.errors import ConfigError
from trisep.losses.on_screen import OnScreenLoss, active_combinations
from trisep.types import MaskOutput, Mixture, QueryEmbedding, Sounds, SpectralMixture


def cost(logit: float, target: bool) -> float:
    """Cross-entropy of one sound."""
    return math.log1p(math.exp(-logit if target else logit))


def least(logits: list[float], is_own: list[bool]) -> float:
    """Every set of the own sounds but the empty one, tried in turn."""
    own = [sound for sound, mine in enumerate(is_own) if mine]
    sets = [set(one) for size in range(1, len(own) + 1) for one in itertools.combinations(own, size)] or [set()]
    return min(sum(cost(logit, sound in shown) for sound, logit in enumerate(logits)) for shown in sets)


@pytest.mark.parametrize("logits", [[2.0, -1.0, 0.5], [-2.0, -1.0, -0.5], [-0.5, -3.0, 4.0], [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("own", list(itertools.product([True, False], repeat=3)))
def test_the_target_is_the_best_of_all_that_hold_one_own_sound(logits: list[float], own: tuple[bool, ...]) -> None:
    found = active_combinations(torch.tensor([[logits]]), torch.tensor([[own]]))
    assert float(found) == pytest.approx(least(logits, list(own)) / 3, rel=1e-5)


def test_recordings_and_mixtures_are_averaged() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, 5, generator=generator)
    own = torch.rand(2, 3, 5, generator=generator) < 0.5
    expected = [least(logits[b, n].tolist(), own[b, n].tolist()) for b, n in itertools.product(range(2), range(3))]
    assert float(active_combinations(logits, own)) == pytest.approx(sum(expected) / (2 * 3 * 5), rel=1e-5)


LOGITS = torch.tensor([[[3.0, -2.0, 1.0], [0.5, -1.0, -4.0]]])


class Splits(nn.Module):
    """Three sounds: the lower rows of the grid, half of the upper ones, and their other half."""

    def forward(self, log_magnitude: Tensor, query: QueryEmbedding) -> MaskOutput:
        lower = (torch.arange(256) < 128).float()[:, None].expand(256, log_magnitude.shape[3])
        masks = torch.stack([lower, 0.5 * (1 - lower), 0.5 * (1 - lower)])[None]
        return MaskOutput(masks=masks[:, :2], sounds=Sounds(masks, LOGITS.clone()))


def batch() -> SpectralMixture:
    """The first recording is the upper rows, the second the lower ones."""
    lower = (torch.arange(256) < 128).float()[:, None].expand(256, 8)
    sources = torch.stack([1 - lower, lower])[None]
    return SpectralMixture(Mixture(torch.zeros(1, 2, 4), None, QueryEmbedding()), sources, sources.sum(dim=1))


def test_the_pictures_are_asked_about_the_sounds_that_fit_their_recordings() -> None:
    terms = OnScreenLoss(on_screen_weight=2.0)(Splits(), batch())
    first = cost(3.0, False) + min(
        cost(-2.0, one) + cost(1.0, other) for one, other in ((True, False), (False, True), (True, True))
    )
    second = cost(0.5, True) + cost(-1.0, False) + cost(-4.0, False)
    assert float(terms.weighted["mask"]) == pytest.approx(0.0, abs=1e-3)
    assert float(terms.weighted["on_screen"]) == pytest.approx(2 * (first + second) / 2 / 3, rel=1e-5)
    assert float(terms.observed["shown"]) == pytest.approx(float(LOGITS.sigmoid().mean()), rel=1e-5)
    assert OnScreenLoss().needs == frozenset()


def test_the_split_costs_what_mixture_invariant_training_says() -> None:
    mixture = batch()
    wrong = SpectralMixture(mixture.mixture, mixture.sources.flip(2) + 1, mixture.magnitude + 2)
    # Of 2 in one half and 1 in the other the best sums of whole sounds are 3 and 1.5, and 0 and 1.5.
    error, power = 128 * 8 * (1 + 0.5**2), 128 * 8 * (4 + 1)
    expected = 10 * math.log10(1 + 10**3 * error / power)
    assert float(OnScreenLoss()(Splits(), wrong).weighted["mask"]) == pytest.approx(expected, rel=1e-4)
    looser = 10 * math.log10(1 + 10 * error / power)
    assert float(OnScreenLoss(max_snr_db=10.0)(Splits(), wrong).weighted["mask"]) == pytest.approx(looser, rel=1e-4)


@pytest.mark.parametrize("wrong", [0.0, 200.0])
def test_a_range_that_makes_no_sense_is_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match="max_snr_db: expected above 0 and below 200"):
        OnScreenLoss(max_snr_db=wrong)
