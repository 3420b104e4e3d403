"""Presence: features with hand-computed values, independent of how the frames arrive, and the logistic function."""

import math

import pytest
import torch

from trisep.errors import CheckpointError
from trisep.separation.presence import (
    FEATURE_NAMES,
    PresenceCalibration,
    PresenceFeatures,
    presence,
    read_calibration,
    with_relative,
)


def test_features_have_the_values_computed_by_hand() -> None:
    features = PresenceFeatures(2, hop_seconds=0.25)
    # Two windows of two frames; magnitude 1 in one row, so energies are counts.
    magnitude = torch.zeros(256, 4)
    magnitude[0] = 1.0
    masks = torch.zeros(2, 256, 4)
    masks[0, 0] = torch.tensor([1.0, 1.0, 0.0, 0.0])
    masks[1, 0] = 0.5
    logits = torch.zeros(2, 256, 4)
    logits[0, 0] = torch.tensor([8.0, 4.0, -2.0, -2.0])
    features.update(masks, logits, magnitude)
    first, second = features.values()
    assert tuple(first) == FEATURE_NAMES
    assert first["level_ratio_db"] == pytest.approx(10 * math.log10(0.5))
    assert first["mean_logit"] == pytest.approx(2.0)
    assert first["share_above_half"] == pytest.approx(0.5)
    assert first["max_activity_db"] == pytest.approx(10 * math.log10(2 / (2 + 0.05 * 2)))
    assert first["mask_percentile_95"] == 1.0
    assert second["level_ratio_db"] == pytest.approx(10 * math.log10(0.25))
    assert second["share_above_half"] == 0.0
    assert second["mask_percentile_95"] == pytest.approx(33 / 64)


@pytest.mark.parametrize("cuts", [[5], [1, 2, 50], [0, 0, 33]])
def test_features_do_not_depend_on_how_frames_arrive(cuts: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    masks, magnitude = torch.rand(3, 256, 100, generator=generator), torch.rand(256, 100, generator=generator)
    at_once, in_parts = PresenceFeatures(3, hop_seconds=0.016), PresenceFeatures(3, hop_seconds=0.016)
    at_once.update(masks, None, magnitude)
    for begin, end in zip([0, *cuts], [*cuts, 100], strict=True):
        in_parts.update(masks[..., begin:end], None, magnitude[..., begin:end])
    for one, other in zip(at_once.values(), in_parts.values(), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_silence_has_floor_values() -> None:
    features = PresenceFeatures(1, hop_seconds=0.016)
    features.update(torch.full((1, 256, 5), 0.9), None, torch.zeros(256, 5))
    assert features.values() == ({name: -80.0 if name.endswith("_db") else 0.0 for name in FEATURE_NAMES},)


def test_the_logistic_function() -> None:
    calibration = PresenceCalibration(features=("mean_logit", "share_above_half"), weights=(0.5, 2.0), bias=-1.0)
    assert presence({"mean_logit": 1.0, "share_above_half": 0.25}, calibration) == pytest.approx(0.5)
    assert presence({"mean_logit": 1e6, "share_above_half": 0}, calibration) == 1.0
    assert presence({"mean_logit": -1e6, "share_above_half": 0}, calibration) == 0.0
    assert presence({"level_ratio_db": -12.0}, PresenceCalibration()) == pytest.approx(0.5)


def test_relative_features_are_differences_from_the_mean_of_the_references() -> None:
    assert with_relative({"a": 3.0}, [{"a": 1.0}, {"a": 2.0}]) == {"a": 3.0, "relative_a": 1.5}
    assert with_relative({"a": 3.0}, []) == {"a": 3.0}


def test_calibrations_come_from_the_card() -> None:
    card = {
        "features": ["relative_mean_logit"],
        "weights": [1.0],
        "bias": 0.0,
        "threshold": 0.4,
        "reference_queries": ["noise"],
    }
    assert read_calibration({"presence": card}).reference_queries == ("noise",)
    assert read_calibration({}) == PresenceCalibration()
    for change in (
        {"features": ["loudness"]},
        {"weights": []},
        {"threshold": 2.0},
        {"reference_queries": []},
        {"slope": 1.0},
        {"features": ["evidence"]},
        {"with_evidence": {"features": ["loudness"], "weights": [1.0], "bias": 0.0}},
        {"with_evidence": {"features": ["evidence"], "weights": [], "bias": 0.0}},
    ):
        with pytest.raises(CheckpointError, match="presence"):
            read_calibration({"presence": card | change})


def test_evidence_has_weights_of_its_own_and_levels_serve_alone() -> None:
    heard = {"features": ["level_ratio_db", "evidence"], "weights": [0.0, 2.0], "bias": 1.0}
    card = {"features": ["level_ratio_db"], "weights": [0.5], "bias": 6.0}
    calibration = read_calibration({"presence": card | {"with_evidence": heard}})
    levels = {"level_ratio_db": -12.0}
    assert presence(levels, calibration) == pytest.approx(0.5)
    found = levels | {"evidence": 1.0, "max_evidence": 9.0}
    assert presence(found, calibration) == pytest.approx(1 / (1 + math.exp(-3)))
    assert presence(found, read_calibration({"presence": card})) == pytest.approx(0.5)
