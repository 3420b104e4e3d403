"""Single precision or bfloat16: what auto means, and that bfloat16 changes masks little and nothing else."""

import numpy as np
import pytest
import torch

import trisep
from trisep import Audio, SeparationOptions
from trisep.separation import precision


@pytest.mark.parametrize("pays", [False, True])
def test_auto_is_bfloat16_where_it_pays_and_a_named_precision_is_taken(
    pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bfloat16_pays", lambda device: pays)
    chosen = [precision.choose_precision(name, torch.device("cpu")) for name in ("auto", "fp32", "bf16")]  # type: ignore[arg-type]
    assert chosen == ["bf16" if pays else "fp32", "fp32", "bf16"]


def test_bfloat16_moves_masks_a_little_and_stems_still_sum_to_the_mixture() -> None:
    samples = 0.1 * np.random.default_rng(0).normal(size=(1, 24000)).astype(np.float32)
    separator = trisep.load("default", device="cpu")
    single, half = (
        separator.separate(Audio(samples, 16000), ["violin", "dog"], SeparationOptions(precision=name))  # type: ignore[arg-type]
        for name in ("fp32", "bf16")
    )
    difference = np.abs(single.masks - half.masks)
    assert half.masks.dtype == np.float32
    assert 0 < difference.mean() < 0.01 and difference.max() < 0.2
    total = sum(stem.audio.samples for stem in half.stems.values()) + half.residual.samples
    np.testing.assert_allclose(total, samples, atol=1e-6)
