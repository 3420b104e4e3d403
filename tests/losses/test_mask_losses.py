"""Losses on masks by hand, against torch, and by their gradients."""

import math
from typing import Literal

import pytest
import torch
from torch.nn import functional

from trisep.losses.masks import MaskLoss, log_error, magnitude_l1, magnitude_weight, ratio_l1, weighted_bce
from trisep.spectrogram.masks import apply_masks
from trisep.spectrogram.stft import stft
from trisep.types import MaskOutput, Mixture, QueryEmbedding, SignalSettings, SpectralMixture


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


LOGITS = 4 * random(2, 3, 5, 7, seed=0) - 2
TARGET = (random(2, 3, 5, 7, seed=1) > 0.5).float()
WEIGHT = 3 * random(2, 5, 7, seed=2)


def test_the_weight_of_a_bin_by_hand() -> None:
    mixture = torch.tensor([[[0.0, math.e - 1, 1e6]]])
    torch.testing.assert_close(magnitude_weight(mixture), torch.tensor([[[1e-3, 1.0, 10.0]]]))
    assert torch.equal(magnitude_weight(mixture, logarithmic=False), mixture)


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[[[0.0, math.log(3)]]]])  # probabilities ½ and ¾
    target, weight = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[2.0, 1.0]]])
    assert float(weighted_bce(logits, target, weight)) == pytest.approx((2 * math.log(2) + math.log(4)) / 2)


def test_cross_entropy_equals_its_form_on_probabilities() -> None:
    expected = functional.binary_cross_entropy(torch.sigmoid(LOGITS), TARGET, WEIGHT.unsqueeze(1).expand_as(TARGET))
    torch.testing.assert_close(weighted_bce(LOGITS, TARGET, WEIGHT), expected)


def test_cross_entropy_stays_finite_where_probabilities_round_to_0_and_1() -> None:
    certain = torch.tensor([[[[200.0, -200.0]]]])
    assert float(weighted_bce(certain, torch.tensor([[[[0.0, 1.0]]]]), torch.ones(1, 1, 2))) == pytest.approx(200)


def test_the_gradient_pushes_every_mask_towards_its_target_by_the_weight() -> None:
    logits = LOGITS.clone().requires_grad_()
    weighted_bce(logits, TARGET, WEIGHT).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (torch.sigmoid(LOGITS) - TARGET) * WEIGHT.unsqueeze(1) / TARGET.numel())
    assert (logits.grad[TARGET == 1] <= 0).all() and (logits.grad[TARGET == 0] >= 0).all()


def test_ratio_l1_by_hand_and_against_torch() -> None:
    masks, target = torch.tensor([[[[0.5, 1.0]]]]), torch.tensor([[[[0.25, 0.0]]]])
    assert float(ratio_l1(masks, target)) == pytest.approx(0.625)
    assert float(ratio_l1(masks, target, torch.tensor([[[4.0, 0.0]]]))) == pytest.approx(0.5)
    torch.testing.assert_close(
        ratio_l1(torch.sigmoid(LOGITS), TARGET), functional.l1_loss(torch.sigmoid(LOGITS), TARGET)
    )
    torch.testing.assert_close(
        ratio_l1(torch.sigmoid(LOGITS), TARGET, torch.ones(2, 5, 7)), ratio_l1(torch.sigmoid(LOGITS), TARGET)
    )


def test_magnitude_l1_by_hand() -> None:
    masks, mixture = torch.tensor([[[[0.5]], [[1.0]]]]), torch.tensor([[[4.0]]])
    sources = torch.tensor([[[[3.0]], [[4.0]]]])
    assert float(magnitude_l1(masks, sources, mixture)) == pytest.approx(0.5)


@pytest.mark.parametrize("loss", [ratio_l1, lambda masks, target: magnitude_l1(masks, target, torch.ones(2, 5, 7))])
def test_the_gradient_of_a_distance_has_the_sign_of_the_error(loss) -> None:  # type: ignore[no-untyped-def]
    masks = torch.sigmoid(LOGITS).requires_grad_()
    loss(masks, TARGET).backward()
    assert masks.grad is not None
    assert torch.equal(masks.grad.sign(), (masks.detach() - TARGET).sign())


@pytest.mark.parametrize("kind", ["weighted_bce", "magnitude_l1"])
def test_absent_queries_are_asked_for_silence_unless_they_are_like_a_source(
    kind: Literal["weighted_bce", "magnitude_l1"],
) -> None:
    sources = random(1, 2, 256, 4, seed=3)
    heard = sources.sum(dim=1)
    vectors = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    logits = torch.zeros(1, 3, 256, 4)
    output = MaskOutput(masks=torch.sigmoid(logits), logits=logits)

    def terms(absent: torch.Tensor) -> dict[str, torch.Tensor]:
        query = QueryEmbedding(vectors=torch.cat([vectors[:, :2], absent], dim=1))
        mixture = Mixture(sources=torch.zeros(1, 2, 8), interference=None, query=query)
        return MaskLoss(kind=kind, absent_weight=0.5).terms(output, SpectralMixture(mixture, sources, heard))

    expected = math.log(2) * magnitude_weight(heard).mean() if kind == "weighted_bce" else 0.5 * heard.mean()
    torch.testing.assert_close(terms(vectors[:, 2:])["absent"], 0.5 * expected)
    assert float(terms(vectors[:, 1:2])["absent"]) == pytest.approx(0, abs=1e-6)


def test_the_error_in_decibels_is_the_snr_of_the_estimated_samples() -> None:
    settings = SignalSettings(sample_rate_hz=16000, window_samples=64, hop_samples=16, clip_samples=1024)
    sources = torch.randn(2, 2, 1024, generator=torch.Generator().manual_seed(4)) * torch.tensor([1.0, 0.2])[:, None]
    spectra = stft(sources, settings)
    mixture = spectra.sum(dim=1)
    masks = torch.full((2, 2, 256, mixture.shape[-1]), 0.5)
    estimates = apply_masks(mixture, masks, settings, 1024)
    snr = 10 * torch.log10(sources.square().sum(dim=-1) / (sources - estimates).square().sum(dim=-1))
    assert float(log_error(masks, spectra, mixture, floor=0, quietest=0)) == pytest.approx(-float(snr.mean()), abs=0.1)


def test_the_error_in_decibels_has_an_end_and_silence_is_a_target() -> None:
    spectra = torch.stack([torch.randn(1, 9, 4, dtype=torch.complex64), torch.zeros(1, 9, 4)], dim=1)
    right = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 256, 4).clone().requires_grad_()
    best = log_error(right, spectra, spectra.sum(dim=1))
    assert best.item() == pytest.approx(-30, abs=0.01)
    best.backward()
    assert right.grad is not None and right.grad.isfinite().all()
    for source in range(2):
        wrong = right.detach().clone()
        wrong[:, source] = 0.5
        assert log_error(wrong, spectra, spectra.sum(dim=1)) > best + 5


def test_the_energy_that_silence_is_measured_by() -> None:
    spectra = torch.stack([torch.randn(1, 9, 4, dtype=torch.complex64), torch.zeros(1, 9, 4)], dim=1)
    masks = torch.tensor([1.0, 0.5])[None, :, None, None].expand(1, 2, 256, 4)
    # Half of the mixture is left in silence: a quarter of its energy, over a ten-thousandth of it.
    expected = (-30 + 10 * math.log10(0.25e4 + 1e-3)) / 2
    assert float(log_error(masks, spectra, spectra.sum(dim=1))) == pytest.approx(expected, abs=1e-3)


LOUD = 3 * random(2, 2, 256, 4, seed=5)
HEARD = LOUD.sum(dim=1)


def every_term(**settings: object) -> dict[str, torch.Tensor]:
    """The terms of a loss on masks of two sources and one absent query that is unlike them."""
    logits = 4 * random(2, 3, 256, 4, seed=6) - 2
    spectra = torch.complex(random(2, 2, 9, 4, seed=7) - 0.5, random(2, 2, 9, 4, seed=8) - 0.5)
    query = QueryEmbedding(vectors=torch.eye(3).expand(2, 3, 3))
    mixture = Mixture(sources=torch.zeros(2, 2, 8), interference=None, query=query)
    batch = SpectralMixture(mixture, LOUD, HEARD, spectra, spectra.sum(dim=1))
    output = MaskOutput(masks=torch.sigmoid(logits), logits=logits)
    found = MaskLoss(absent_weight=0.5, **settings).terms(output, batch)  # type: ignore[arg-type]
    return {**found, "logits": logits, "masks": output.masks, "spectra": spectra}


@pytest.mark.parametrize("logarithmic", [True, False])
def test_the_terms_of_weighted_cross_entropy(logarithmic: bool) -> None:
    found = every_term(kind="weighted_bce", logarithmic_weight=logarithmic)
    weight = torch.log1p(HEARD).clamp(1e-3, 10) if logarithmic else HEARD
    target = (LOUD > 0.5 * HEARD.unsqueeze(1)).float()
    torch.testing.assert_close(found["mask"], weighted_bce(found["logits"][:, :2], target, weight))
    silence = functional.softplus(found["logits"][:, 2]) * weight
    torch.testing.assert_close(found["absent"], 0.5 * silence.mean())


@pytest.mark.parametrize("logarithmic", [True, False])
def test_the_terms_of_ratio_masks_ignore_absent_queries(logarithmic: bool) -> None:
    found = every_term(kind="ratio_l1", logarithmic_weight=logarithmic)
    error = (found["masks"][:, :2] - LOUD / HEARD.unsqueeze(1)).abs()
    weight = torch.log1p(HEARD).clamp(1e-3, 10).unsqueeze(1) if logarithmic else 1.0
    torch.testing.assert_close(found["mask"], (error * weight).mean())
    assert "absent" not in found


def test_the_terms_of_magnitudes_and_of_decibels() -> None:
    found = every_term(kind="magnitude_l1")
    torch.testing.assert_close(found["mask"], (found["masks"][:, :2] * HEARD.unsqueeze(1) - LOUD).abs().mean())
    torch.testing.assert_close(found["absent"], 0.5 * (found["masks"][:, 2] * HEARD).mean())
    found = every_term(kind="log_error")
    mixture = found["spectra"].sum(dim=1)
    torch.testing.assert_close(found["mask"], log_error(found["masks"][:, :2], found["spectra"], mixture))
    silence = torch.zeros_like(found["spectra"][:, :1])
    torch.testing.assert_close(found["absent"], 0.5 * log_error(found["masks"][:, 2:], silence, mixture))
