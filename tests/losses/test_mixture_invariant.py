"""Mixture invariant training against a search that is written out, and by hand."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from trisep.errors import ConfigError
from trisep.losses.mixture_invariant import (
    MixtureInvariantLoss,
    QueriedMixtureInvariantLoss,
    consistent,
    mixture_invariant,
)
from trisep.models import clipsep_nit, pit
from trisep.types import Mixture, QueryEmbedding, SpectralMixture


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def searched(sounds: np.ndarray, recordings: np.ndarray, max_snr_db: float) -> float:
    """The loss of one mixture, by trying every assignment in a loop."""
    losses = []
    for owners in itertools.product(range(len(recordings)), repeat=len(sounds)):
        total = 0.0
        for number, recording in enumerate(recordings):
            estimate = sum((s for s, owner in zip(sounds, owners, strict=True) if owner == number), 0 * recording)
            power, error = (recording**2).sum(), ((recording - estimate) ** 2).sum()
            total += 10 * math.log10((error + 10 ** (-max_snr_db / 10) * power) / power) + max_snr_db
        losses.append(total / len(recordings))
    return min(losses)


@pytest.mark.parametrize(("num_sounds", "num_recordings"), [(4, 2), (2, 2), (5, 3), (1, 2)])
def test_it_is_the_least_over_every_assignment(num_sounds: int, num_recordings: int) -> None:
    sounds, recordings = random(3, num_sounds, 6, 5), random(3, num_recordings, 6, 5, seed=1)
    expected = [searched(*both, 20.0) for both in zip(sounds.numpy(), recordings.numpy(), strict=True)]
    found = mixture_invariant(sounds, recordings, max_snr_db=20.0)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.parametrize(("num_queried", "num_free"), [(2, 2), (3, 1), (2, 0)])
def test_queried_sounds_stay_with_their_recordings(num_queried: int, num_free: int) -> None:
    sounds, recordings = random(3, num_queried + num_free, 6, 5), random(3, num_queried, 6, 5, seed=1)
    expected = []
    for own, truth in zip(sounds.numpy(), recordings.numpy(), strict=True):
        losses = []
        for owners in itertools.product(range(num_queried), repeat=num_free):
            shares = own[:num_queried].copy()
            for sound, owner in zip(own[num_queried:], owners, strict=True):
                shares[owner] += sound
            error, power = ((truth - shares) ** 2).sum(axis=(1, 2)), (truth**2).sum(axis=(1, 2))
            losses.append(np.mean(10 * np.log10(1 + 100 * error / power)))
        expected.append(min(losses))
    found = mixture_invariant(sounds, recordings, max_snr_db=20.0, num_queried=num_queried)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-4)


def test_with_query_heads_the_noise_heads_are_free_and_held_at_a_level() -> None:
    torch.manual_seed(0)
    network = clipsep_nit.Config.tiny().build()
    query = QueryEmbedding(vectors=random(2, 2, 8))
    sources = random(2, 2, 256, 8)
    mixture = Mixture(sources=torch.zeros(2, 2, 4), interference=None, query=query)
    batch = SpectralMixture(mixture, sources, sources.sum(dim=1))
    terms = QueriedMixtureInvariantLoss(level=0.1, regularization=3.0)(network, batch)
    output = network(torch.log(batch.magnitude + 1e-10).unsqueeze(1), query)
    sounds = consistent(torch.cat([output.masks, output.noise_masks], dim=1)) * batch.magnitude.unsqueeze(1)
    torch.testing.assert_close(terms.weighted["mask"], mixture_invariant(sounds, sources, num_queried=2))
    activation = output.noise_masks.mean(dim=(0, 2, 3)).sum()
    torch.testing.assert_close(terms.weighted["noise"], 3 * (activation - 0.1))
    torch.testing.assert_close(terms.observed["noise_activation"], activation.detach())


def test_sounds_that_add_up_to_the_recordings_cost_nothing() -> None:
    sounds = random(1, 4, 8, 8)
    recordings = torch.stack([sounds[:, 0] + sounds[:, 3], sounds[:, 1] + sounds[:, 2]], dim=1)
    assert float(mixture_invariant(sounds, recordings)) == pytest.approx(0.0, abs=0.01)
    swapped = mixture_invariant(sounds[:, [2, 0, 3, 1]], recordings.flip(1))
    assert float(swapped) == pytest.approx(0.0, abs=0.01)
    silent = mixture_invariant(0 * sounds, recordings, max_snr_db=10.0)  # an SNR of 0 dB
    assert float(silent) == pytest.approx(10 * math.log10(1 + 10), abs=0.01)


def test_the_gradient_is_that_of_finite_differences() -> None:
    sounds, recordings = random(2, 3, 3, 2).double().requires_grad_(), random(2, 2, 3, 2, seed=1).double()
    assert torch.autograd.gradcheck(lambda given: mixture_invariant(given, recordings), sounds)


def test_masks_give_out_no_more_than_there_is() -> None:
    masks = torch.tensor([0.5, 0.9, 0.6, 0.1, 0.2, 0.3]).reshape(2, 3, 1, 1)
    torch.testing.assert_close(consistent(masks).flatten(), torch.tensor([0.25, 0.45, 0.3, 0.1, 0.2, 0.3]))


def test_a_silent_recording_is_a_finite_loss() -> None:
    sounds, recordings = random(1, 2, 4, 4).requires_grad_(), random(1, 2, 4, 4, seed=1)
    recordings[:, 1] = 0
    loss = mixture_invariant(sounds, recordings)
    loss.backward()
    assert loss.isfinite() and sounds.grad is not None and sounds.grad.isfinite().all()


def test_the_power_that_a_silent_recording_is_taken_to_have() -> None:
    recordings = torch.zeros(1, 2, 4, 4)
    recordings[:, 0] = 1
    sounds = recordings.clone()
    sounds[:, 1] = 1e-5  # a power of 1e-10 a bin, a hundredth of the least: 20 dB below it, which is the limit
    found = mixture_invariant(sounds, recordings, max_snr_db=20.0, num_queried=2)
    assert float(found) == pytest.approx(10 * math.log10(1 + 1) / 2, rel=1e-4)


def test_it_trains_a_model_that_has_no_queries() -> None:
    torch.manual_seed(0)
    network = replace(pit.Config.tiny(), num_sources=4).build()
    sources = random(2, 2, 256, 16)
    mixture = Mixture(sources=torch.zeros(2, 2, 10), interference=None, query=QueryEmbedding())
    batch, loss = SpectralMixture(mixture, sources, sources.sum(dim=1)), MixtureInvariantLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    totals = []
    for _ in range(12):
        optimizer.zero_grad()
        total = loss(network, batch).total
        total.backward()
        totals.append(float(total.detach()))
        optimizer.step()
    assert totals[-1] < totals[0] - 0.1


def test_too_many_assignments_and_a_limit_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="13 sounds have 8192 ways to belong to 2 recordings.*lower model.num_source"):
        mixture_invariant(random(1, 13, 1, 1), random(1, 2, 1, 1))
    assert mixture_invariant(random(1, 12, 1, 1), random(1, 2, 1, 1)).isfinite()  # 4096 ways are the most
    with pytest.raises(ConfigError, match="max_snr_db: expected above 0"):
        MixtureInvariantLoss(max_snr_db=0.0)
