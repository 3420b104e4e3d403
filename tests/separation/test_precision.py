"""`auto` is bfloat16 where docs/performance.md found it faster, and it moves masks a little."""

from pathlib import Path

import numpy as np
import pytest
import torch

import trisep
from trisep import Audio, SeparationOptions
from trisep.separation.precision import bfloat16_pays, choose_precision

UNPATCHED = bfloat16_pays
"""Tests of other files run in single precision (conftest); here it is asked itself."""


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "cpuinfo", "pays"),
    [
        (True, True, "vendor_id : GenuineIntel", True),
        (False, True, "vendor_id : GenuineIntel", False),
        (False, True, "vendor_id : AuthenticAMD", True),
        (False, False, "vendor_id : AuthenticAMD", False),
        (False, True, None, False),
    ],
)
def test_bfloat16_pays_with_amx_and_on_processors_of_amd(
    amx: bool, avx512_bf16: bool, cpuinfo: str | None, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, errors: str = "strict") -> str:
        assert str(path) == "/proc/cpuinfo" and errors == "replace"
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(Path, "read_text", read)
    assert UNPATCHED(torch.device("cpu")) is pays
    assert not UNPATCHED(torch.device("meta"))


@pytest.mark.parametrize("pays", [False, True])
def test_auto_is_bfloat16_where_it_pays_and_a_named_precision_is_taken(
    pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trisep.separation.precision.bfloat16_pays", lambda device: pays)
    chosen = [choose_precision(name, torch.device("cpu")) for name in ("auto", "fp32", "bf16")]  # type: ignore[arg-type]
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
