"""Presence: features with hand-computed values, independent of how the frames arrive, and the logistic function."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from trisep.encoders.lite import LiteEncoder
from trisep.errors import CheckpointError
from trisep.separation.presence import (
    FEATURE_NAMES,
    PresenceCalibration,
    PresenceFeatures,
    StemEvidence,
    presence,
    read_calibration,
    stem_evidence,
    with_relative,
)
from trisep.types import Query


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
    found = levels | {"evidence": 1.0, "max_evidence": 9.0, "mixture_evidence": -9.0}
    assert presence(found, calibration) == pytest.approx(1 / (1 + math.exp(-3)))
    assert presence(found, read_calibration({"presence": card})) == pytest.approx(0.5)


STEP = 4096


class Levels:
    """A tower of four classes: an embedding is the mean magnitude of a step, and the logits are its multiples."""

    embeddings = torch.eye(4)
    usual = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([1.0, 2.0, 4.0, 8.0])

    def embed_portion(self, sounds: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(sounds, (0, -sounds.shape[1] % STEP))
        return padded.abs().unflatten(1, (-1, STEP)).mean(dim=2, keepdim=True)

    def classify(self, embeddings: Tensor) -> Tensor:
        return embeddings * torch.tensor([1.0, 2.0, 3.0, 4.0])


def heard(stems: np.ndarray, sizes: list[int], rate_hz: int = 16000, level_db: float = -20.0) -> dict[str, float]:
    """Features of the second stem, which alone is in words, from blocks of these sizes; the mixture is three of it."""
    evidence = StemEvidence(Levels(), {5: (1, torch.tensor([0.0, 2.0, 0.0, 0.0]))})
    ends = [*np.cumsum(sizes), stems.shape[-1]]
    for start, end in pairwise([0, *ends]):
        block, is_last = stems[..., start:end], bool(end == ends[-1])
        evidence.update(block, 3 * block[1], rate_hz, mixture_level_db=level_db, is_last=is_last)
    assert list(evidence.values()) == [5]
    return evidence.values()[5]


def test_evidence_by_hand() -> None:
    # Cosines 1, 0, 0 at temperature 0.02: only the second class counts. One loud window of four steps, then a quiet
    # one, in two channels whose mean is half of the first; the mixture is at −26.02 dB: a gain of 2.
    magnitude = np.repeat([0.4, 0.1], 4 * STEP).astype(np.float32)
    stems = np.stack([np.ones((2, 8 * STEP), np.float32), np.stack([magnitude, 0 * magnitude])])
    values = heard(stems, [], level_db=-20 - 20 * np.log10(2))
    assert values["evidence"] == pytest.approx((2 * 0.25 - 0.2) / 2, abs=1e-4)
    assert values["max_evidence"] == pytest.approx((2 * 0.4 - 0.2) / 2, abs=1e-4)
    assert values["mixture_evidence"] == pytest.approx((3 * 2 * 0.25 - 0.2) / 2, abs=1e-4)


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_blocks_of_any_size_are_heard_like_the_whole(rate_hz: int) -> None:
    stems = np.random.default_rng(0).normal(0, 0.1, (2, 1, 70 * rate_hz)).astype(np.float32)  # longer than a portion
    stems[..., : 3 * rate_hz] *= 2
    whole = heard(stems, [], rate_hz)
    parts = heard(stems, [1, 50000, 0, 123456, 20 * rate_hz], rate_hz)
    assert parts == pytest.approx(whole, abs=1e-5) and whole["max_evidence"] > whole["evidence"] + 0.01


def test_the_end_that_resampling_holds_back_is_heard() -> None:
    values = heard(np.ones((2, 1, 100), np.float32), [], 44100)  # 36 samples of 4096, all of them held back
    assert values["evidence"] == pytest.approx((2 * 36 / STEP - 0.2) / 2, abs=1e-3)


def test_nothing_is_heard_before_a_sound() -> None:
    assert StemEvidence(Levels(), {0: (0, torch.ones(4))}).values() == {}


def test_only_words_are_heard_and_only_where_there_is_a_tower() -> None:
    class Deaf:
        """An encoder of text alone."""

        name, dim, fingerprint, token_table = "deaf", 4, "", None

        def encode_text(self, texts: list[str]) -> Tensor:
            return torch.ones(len(texts), 4)

        token_word = encode_image = encode_regions = encode_tokens = encode_text

    class Hearing(Deaf):
        """The same with a tower."""

        sounds = Levels()

    picture = Query("here", image=np.zeros((8, 8, 3), np.uint8))
    assert stem_evidence(Deaf(), [Query("dog", text="dog")], [[0]]) is None  # type: ignore[arg-type]
    assert stem_evidence(Hearing(), [picture], [[0]]) is None  # type: ignore[arg-type]
    words = [Query(word, text=word) for word in ("dog", "cat", "rain")]
    evidence = stem_evidence(Hearing(), [picture, *words], [[0], [1, 2], [3]])  # type: ignore[arg-type]
    assert evidence is not None
    stems = np.ones((3, 1, 100), np.float32) * np.array([9, 1, 2], np.float32)[:, None, None]
    evidence.update(stems, stems[0], 16000, mixture_level_db=-20.0, is_last=True)
    values = evidence.values()
    assert list(values) == [1, 2, 3] and values[1] == values[2]  # two in one stem, one in another that is louder
    assert values[3]["evidence"] > values[2]["evidence"]
    assert values[3]["mixture_evidence"] == values[2]["mixture_evidence"] > values[3]["evidence"]


def test_the_tower_of_lite_hears_a_stem_as_it_hears_a_sound() -> None:
    sounds = LiteEncoder().sounds
    wave = np.random.default_rng(0).normal(0, 0.1, 40000).astype(np.float32)
    evidence = StemEvidence(sounds, {0: (0, sounds.embeddings[7])})
    level_db = 10 * np.log10(np.square(wave - wave.mean(), dtype=np.float64).mean())
    evidence.update(wave[None, None], wave[None], 16000, mixture_level_db=level_db, is_last=True)
    mean, deviation = sounds.usual
    standard = (sounds.logits(torch.from_numpy(wave)[None], 16000)[0] - mean) / deviation
    cosines, nearest = (sounds.embeddings @ sounds.embeddings[7]).topk(3)
    expected = float((torch.softmax(cosines / 0.02, dim=0) * standard[nearest]).sum())
    assert evidence.values()[0]["evidence"] == pytest.approx(expected, abs=1e-3)
