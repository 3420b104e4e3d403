"""Layers whose output is one frame wide are computed in single precision, whatever autocast says."""

import pytest
import torch

from trisep.models.co_separation import SoundClassifier
from trisep.models.sgn import Config
from trisep.networks.narrow import single_precision_if


@pytest.mark.parametrize(("is_narrow", "expected"), [(True, torch.float32), (False, torch.bfloat16)])
def test_autocast_is_off_where_it_is_narrow(is_narrow: bool, expected: torch.dtype) -> None:
    layer = torch.nn.Linear(2, 2)
    with torch.autocast("cpu", torch.bfloat16), single_precision_if(is_narrow):
        assert layer(torch.zeros(1, 2)).dtype == expected


@pytest.mark.parametrize("is_wide", [False, True])
def test_models_ask_for_it_at_the_width_where_a_feature_is_one_frame(is_wide: bool) -> None:
    torch.manual_seed(0)
    expected = torch.bfloat16 if is_wide else torch.float32
    classifier = SoundClassifier(3, width=1).eval()
    model = Config.tiny().build().eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert classifier(torch.randn(1, 1, 256, 64 if is_wide else 32)).dtype == expected
        patches = []
        model.patches.register_forward_hook(lambda _, __, output: patches.append(output.dtype))
        model.group(torch.randn(1, 1, 256, model.config.patch * (2 if is_wide else 1)))
    assert patches == [expected]
