"""`scripts/train_audio_tower.py`: what labels correct in the teacher's logits, and what is drawn."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAMES = ["Speech", "Flute", "Oboe", "Rain"]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        return runpy.run_path(str(SCRIPTS / "train_audio_tower.py"))


@pytest.fixture
def classes(script: dict[str, Any]) -> Any:
    of_label = {"flute": [1], "oboe": [2], "washing machine": [4], "rain": [3]}
    return script["Classes"]([*NAMES, "Washing machine"], of_label, [1, 2])


def test_the_classes_of_labels_are_those_of_the_teacher_or_further_ones(script: dict[str, Any], tmp_path: Path) -> None:
    names, labels = tmp_path / "names.csv", tmp_path / "labels.csv"
    names.write_text('index,mid,display_name\n0,/m/1,Speech\n1,/m/2,"Violin, fiddle"\n')
    labels.write_text('label,class,melodic\nviolin,"Violin, fiddle",yes\noboe,Oboe,yes\nfridge,Fridge,\nhen,Fridge,\n')
    read = script["read_classes"](names, labels)
    assert read.names == ["Speech", "Violin, fiddle", "Oboe", "Fridge"]
    assert read.of_label == {"violin": [1], "oboe": [2], "fridge": [3], "hen": [3]}
    assert read.melodic == [1, 2]


def test_what_is_there_is_raised_and_other_instruments_are_capped(script: dict[str, Any], classes: Any) -> None:
    part, of_teacher = script["Part"], np.array([-1.0, 2.0, -6.0, 3.0], np.float32)
    target = script["corrected"](of_teacher, [part(np.ones(2), "oboe", True)], classes)
    np.testing.assert_array_equal(target, [-1.0, -4.0, 1.0, 3.0, -7.0])
    target = script["corrected"](of_teacher, [part(np.ones(2), "washing machine", True)], classes)
    np.testing.assert_array_equal(target, [-1.0, -4.0, -6.0, 3.0, 1.0])


def test_silence_of_a_recording_and_unknown_sounds_leave_it_to_the_teacher(
    script: dict[str, Any], classes: Any
) -> None:
    part, of_teacher = script["Part"], np.array([-1.0, -2.0, 2.0, 3.0], np.float32)
    parts = [part(np.ones(2), "flute", False), part(np.ones(2), "rain", True)]
    np.testing.assert_array_equal(script["corrected"](of_teacher, parts, classes), [-1.0, -2.0, -4.0, 3.0, -7.0])
    parts = [part(np.ones(2), "", True), part(np.ones(2), "rain", True)]
    np.testing.assert_array_equal(script["corrected"](of_teacher, parts, classes), [-1.0, -2.0, 2.0, 3.0, -7.0])


def test_a_part_far_below_the_mixture_or_of_silence_is_not_audible(script: dict[str, Any]) -> None:
    generator = np.random.default_rng(0)
    tone = np.sin(np.arange(20_000) * 0.2).astype(np.float32)
    late = np.concatenate([np.zeros(80_000, np.float32), tone])
    sounds = script["Sounds"]([tone, late], ["tone", "late"], np.array([0.5, 0.5]))
    drawn = [script["draw_parts"](sounds, 16384, generator, mixed=True) for _ in range(60)]
    levels = [[float(np.square(part.samples).mean()) for part in parts] for parts in drawn]
    assert {len(parts) for parts in drawn} == {2, 3}
    for parts, powers in zip(drawn, levels, strict=True):
        loudest = max(powers)
        for part, power in zip(parts, powers, strict=True):
            assert part.samples.shape == (16384,)
            if power < loudest / 100:
                assert not part.is_audible
            if part.label == "tone" and power == loudest:
                assert part.is_audible
    assert any(not part.is_audible for parts in drawn for part in parts if part.label == "late")


def test_a_rare_class_without_teacher_is_not_standardised_by_its_rareness(script: dict[str, Any]) -> None:
    import torch

    targets = torch.full((100, 529), -7.0)
    targets[::2] = -6.0
    targets[0, 528] = 1.0
    mean, deviation = script["usual"](targets)
    assert float(deviation[528]) == 2.0
    assert float(deviation[0]) == pytest.approx(0.5, abs=0.01)
    assert float(mean[0]) == pytest.approx(-6.5)
