"""Ratio, binary and exclusive masks by hand, and masks applied."""

import torch

from trisep.spectrogram.masks import apply_masks, binary_mask, exclusive_masks, joined_masks, ratio_mask
from trisep.spectrogram.stft import stft
from trisep.types import SignalSettings

SETTINGS = SignalSettings()
SOURCES = torch.tensor([[[[1.0, 0.0, 3.0]], [[3.0, 0.0, 1.0]]]])  # one mixture, two sources, one bin, three frames


def test_ratio_mask_by_hand() -> None:
    torch.testing.assert_close(ratio_mask(SOURCES)[0, :, 0], torch.tensor([[0.25, 0.0, 0.75], [0.75, 0.0, 0.25]]))
    total = torch.tensor([[[8.0, 1.0, 2.0]]])
    torch.testing.assert_close(
        ratio_mask(SOURCES, total)[0, :, 0], torch.tensor([[0.125, 0.0, 1.0], [0.375, 0.0, 0.5]])
    )


def test_binary_mask_by_hand() -> None:
    mixture = torch.tensor([[[2.0, 0.0, 4.0]]])  # exactly half of the mixture is not more than half
    torch.testing.assert_close(binary_mask(SOURCES, mixture)[0, :, 0], torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))


def test_masks_of_one_give_the_mixture_and_complements_sum_to_it() -> None:
    generator = torch.Generator().manual_seed(0)
    mixture = 0.1 * torch.randn(2, 6000, generator=generator)
    spectrum = stft(mixture, SETTINGS)
    whole = apply_masks(spectrum, torch.ones(2, 1, 256, spectrum.shape[-1]), SETTINGS, 6000)
    torch.testing.assert_close(whole[:, 0], mixture, atol=1e-5, rtol=0)
    mask = torch.rand(2, 1, 256, spectrum.shape[-1], generator=generator)
    parts = apply_masks(spectrum, torch.cat([mask, 1 - mask], dim=1), SETTINGS, 6000)
    assert parts.shape == (2, 2, 6000)
    torch.testing.assert_close(parts.sum(dim=1), mixture, atol=1e-5, rtol=0)
    assert (parts[:, 0] - mixture).abs().max() > 0.01


def test_exclusive_masks_by_hand() -> None:
    masks = torch.tensor([0.5, 0.75]).reshape(1, 2, 1, 1).expand(1, 2, 256, 4)
    shared = exclusive_masks(masks)
    assert torch.allclose(shared[0, :, 0, 0], torch.tensor([1 / 4.5, 3 / 4.5]))
    assert torch.equal(exclusive_masks(masks[:, :1]), masks[:, :1])
    certain = exclusive_masks(torch.ones(1, 2, 256, 4))
    assert torch.allclose(certain, torch.full_like(certain, 0.5), atol=1e-5)


def test_joined_masks_by_hand() -> None:
    masks = torch.full((4, 256, 1), 0.5)
    # Two take three quarters, odds of 3, one and the negative have odds of 1, the rest is 1/3.
    shared = joined_masks(masks, [[0, 1], [2]], exclusive=True)
    torch.testing.assert_close(shared[:, 0, 0], torch.tensor([9 / 16, 3 / 16]))
    # Alone, a group shares with the negative only, and the rest is 1/2.
    alone = joined_masks(masks, [[0, 1], [2]], exclusive=False)
    torch.testing.assert_close(alone[:, 0, 0], torch.tensor([3 / 4.5, 1 / 2.5]))
    assert torch.equal(joined_masks(masks[:1], [[0]], exclusive=False), masks[:1])
    several = torch.rand(3, 256, 5)
    assert torch.equal(joined_masks(several, [[0], [1], [2]], exclusive=True), exclusive_masks(several[None])[0])
