"""Packed tensors: by hand, and with a scale that is missing or wrong."""

import pytest
import torch

from trisep.checkpoints.eight_bit import pack, unpack
from trisep.errors import CheckpointError


def test_by_hand() -> None:
    kernel = torch.tensor([[1.27, -0.635], [0.0, 0.0]]).reshape(2, 2, 1, 1)
    tensors = {"up.weight": kernel, "up.bias": torch.tensor([0.5]), "num_batches": torch.tensor(3)}
    packed = pack(tensors)
    assert packed["up.weight"].flatten().tolist() == [127, -64, 0, 0]
    assert packed["up.weight.int8_scale"].flatten()[0] == pytest.approx(0.01)
    assert packed["up.bias"].dtype == torch.float16 and packed["num_batches"] == 3
    restored = unpack(packed)
    assert set(restored) == set(tensors)
    torch.testing.assert_close(restored["up.weight"].flatten(), torch.tensor([1.27, -0.64, 0.0, 0.0]))
    assert unpack(tensors)["up.weight"].equal(kernel)


@pytest.mark.parametrize("scale", [None, torch.ones(3, 1, 1, 1), torch.full((2, 1, 1, 1), float("nan"))])
def test_a_scale_that_is_missing_or_does_not_fit_is_refused(scale: torch.Tensor | None) -> None:
    tensors = pack({"up.weight": torch.ones(2, 2, 1, 1)})
    del tensors["up.weight.int8_scale"]
    if scale is not None:
        tensors["up.weight.int8_scale"] = scale
    with pytest.raises(CheckpointError, match="the 8-bit tensor up.weight has no scale that fits it"):
        unpack(tensors)
