"""The folder of a training run: what may be gone on with, what a resumed run finds in its log, and what is written."""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_stores import short_recipe

from trisep.errors import CheckpointError, TrainingError, TrisepError
from trisep.losses.masks import MaskLoss
from trisep.training.run_folder import RunFolder, TrainingLog

RECIPE = short_recipe(num_steps=25)
SCORES = {"si_sdri": 1.5, "improved_share": 0.75}


def with_states(path: Path, *steps: int) -> RunFolder:
    """The folder of a run that came so far."""
    folder = RunFolder(path, RECIPE, is_main=True)
    for step in steps:
        folder.state(step).mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_holds_the_recipe_and_room_for_states(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "run", RECIPE, is_main=True)
    assert names(folder.path) == ["recipe.json", "states"] and names(folder.states) == []
    written = json.loads((folder.path / "recipe.json").read_text())
    assert written == json.loads(json.dumps(asdict(RECIPE))) and written["training"]["num_steps"] == 25
    places = [folder.path / name for name in ("model", "best", "log.jsonl")]
    assert [folder.model, folder.best, folder.log] == places
    assert folder.newest_state() is None


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", RECIPE, is_main=False)
    assert names(tmp_path) == []


def test_the_newest_state_is_the_one_of_the_most_steps(tmp_path: Path) -> None:
    folder = with_states(tmp_path, 8, 12, 100000)
    assert folder.state(12) == tmp_path / "states" / "step-0000012"
    assert folder.newest_state() == folder.state(100000)


def test_the_same_recipe_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    with_states(tmp_path, 2)
    before = (tmp_path / "recipe.json").read_bytes()
    assert RunFolder(tmp_path, RECIPE, is_main=True).newest_state() is not None
    other = replace(short_recipe(num_steps=3), loss=MaskLoss(kind="ratio_l1"))
    for is_main in (True, False):
        with pytest.raises(TrainingError) as caught:
            RunFolder(tmp_path, other, is_main=is_main)
        reason = "holds a run whose recipe differs in loss, training; choose another --out, or remove it"
        assert str(caught.value) == f"{tmp_path}: {reason}"
    assert (tmp_path / "recipe.json").read_bytes() == before


@pytest.mark.parametrize("value", [1, None])
def test_a_setting_of_another_version_is_named(tmp_path: Path, value: object) -> None:
    with_states(tmp_path, 2)
    (tmp_path / "recipe.json").write_text(json.dumps({**asdict(RECIPE), "renamed": value}))
    with pytest.raises(TrainingError, match="differs in renamed; choose another --out"):
        RunFolder(tmp_path, RECIPE, is_main=True)


def test_a_run_without_a_state_gives_way(tmp_path: Path) -> None:
    with_states(tmp_path)
    RunFolder(tmp_path, short_recipe(num_steps=3), is_main=True)
    assert json.loads((tmp_path / "recipe.json").read_text())["training"]["num_steps"] == 3


@pytest.mark.parametrize("damaged", ["{", "[]", "", '"recipe"'])
def test_a_damaged_recipe_is_named(tmp_path: Path, damaged: str) -> None:
    with_states(tmp_path, 2)
    (tmp_path / "recipe.json").write_text(damaged)
    with pytest.raises(TrainingError) as caught:
        RunFolder(tmp_path, RECIPE, is_main=True)
    assert str(caught.value).startswith(f"{tmp_path / 'recipe.json'}: is damaged (")
    assert str(caught.value).endswith("; choose another --out, or remove the run")


@pytest.mark.parametrize("name", ["model", "best"])
def test_what_is_no_checkpoint_is_not_given_up(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "letter.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=f"{name}: holds other things"):
        RunFolder(tmp_path, RECIPE, is_main=True)
    assert names(tmp_path) == [name]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrisepError, match="file/run.*cannot be written"):
        RunFolder(tmp_path / "file" / "run", RECIPE, is_main=True)


def test_the_last_two_states_stay_and_leftovers_of_killed_runs_go(tmp_path: Path) -> None:
    folder = with_states(tmp_path, 1, 2, 3, 10)
    for place in (folder.path, folder.states):
        (place / ".trisep-0123").mkdir()
        (place / ".trisep-0123" / "state.json").write_text("{}")
    folder.drop_old_states()
    assert names(folder.states) == ["step-0000003", "step-0000010"]
    assert names(folder.path) == ["recipe.json", "states"]
    folder.drop_old_states()
    assert names(folder.states) == ["step-0000003", "step-0000010"]


def lines(folder: RunFolder) -> list[dict[str, float]]:
    return [json.loads(line) for line in folder.log.read_text(encoding="utf-8").splitlines()]


def take_steps(log: TrainingLog, steps: Iterable[int]) -> None:
    """Steps whose loss is their number."""
    for step in steps:
        log.step(step, {"loss": float(step)}, learning_rate=step / 100, waited=0.5, started=monotonic() - 2.0)


def test_means_over_ten_steps_are_written_and_the_rest_at_the_end(tmp_path: Path) -> None:
    folder = with_states(tmp_path)
    with TrainingLog(folder, RECIPE, 0, is_main=True) as log:
        take_steps(log, range(1, 10))
        assert lines(folder) == []
        take_steps(log, range(10, 26))
        found = lines(folder)
    assert [(entry["step"], entry["loss"], entry["learning_rate"]) for entry in found] == [
        (10, 5.5, 0.1),
        (20, 15.5, 0.2),
        (25, 23.0, 0.25),
    ]
    assert all(entry["data_seconds"] == 0.5 for entry in found)
    assert all(2.0 <= entry["step_seconds"] < 4.0 for entry in found)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 5.5), (20, 15.5), (25, 23.0)]


def test_the_bar_shows_the_step_the_loss_and_the_last_validation(tmp_path: Path) -> None:
    with TrainingLog(with_states(tmp_path), RECIPE, 3, is_main=True) as log:
        (task,) = log._progress.tasks
        assert (task.completed, task.total) == (3, 25)
        take_steps(log, [4])
        assert (task.completed, task.fields["state"]) == (4, "loss 4.0000")
        log.validation(4, SCORES)
        take_steps(log, [5])
        assert (task.completed, task.fields["state"]) == (5, "loss 5.0000  val +1.50 dB")


def test_a_validation_is_written_and_the_best_is_told(tmp_path: Path) -> None:
    folder = with_states(tmp_path)
    with TrainingLog(folder, RECIPE, 0, is_main=True) as log:
        told = [
            log.validation(step, SCORES | {"si_sdri": dbs}) for step, dbs in ((1, -3.0), (2, 1.0), (3, 1.0), (4, 0.5))
        ]
        assert told == [True, True, False, False] and log.scores["si_sdri"] == 0.5 and log.best == 1.0
    assert lines(folder)[1] == {"step": 2, "si_sdri": 1.0, "improved_share": 0.75}


def test_a_resumed_run_drops_lines_of_steps_that_it_does_again(tmp_path: Path) -> None:
    folder = with_states(tmp_path)
    kept = ['{"step": 4, "si_sdri": 2.0}', '{"step": 8, "loss": 1.0}', '{"step": 8, "si_sdri": 1.0, "share": 0.5}']
    later = ['{"step": 9, "si_sdri": 9.0}', "", '{"step": 1', '{"step": 10, "loss": 0.1']
    folder.log.write_text("\n".join([*kept, *later]))
    log = TrainingLog(folder, RECIPE, 8, is_main=True)
    assert folder.log.read_text() == "\n".join(kept) + "\n"
    assert (log.best, log.scores, log.first_step) == (2.0, {"si_sdri": 1.0, "share": 0.5}, 8)
    with log:
        assert not log.validation(9, {"si_sdri": 1.9}) and log.validation(10, {"si_sdri": 2.1})
    assert [entry["step"] for entry in lines(folder)] == [4, 8, 8, 9, 10]


def test_a_run_that_begins_has_no_best(tmp_path: Path) -> None:
    log = TrainingLog(with_states(tmp_path), RECIPE, 0, is_main=True)
    assert (log.best, log.scores) == (-math.inf, {}) and log.folder.log.read_text() == ""


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    folder = with_states(tmp_path)
    with TrainingLog(folder, RECIPE, 0, is_main=False) as log:
        take_steps(log, range(1, 26))
    assert names(tmp_path) == ["recipe.json", "states"]


def test_the_log_is_closed_after_a_failure_too(tmp_path: Path) -> None:
    folder = with_states(tmp_path)
    with pytest.raises(ZeroDivisionError), TrainingLog(folder, RECIPE, 0, is_main=True) as log:
        raise ZeroDivisionError
    assert log._file.closed and log._progress.finished is False and not log._progress.live.is_started


def test_the_closing_figure(tmp_path: Path) -> None:
    folder = with_states(tmp_path)
    with TrainingLog(folder, RECIPE, 0, is_main=True) as log:
        take_steps(log, range(1, 21))
        log.validation(20, SCORES)
    log.draw()
    with Image.open(tmp_path / "training.png") as picture:
        assert min(picture.size) > 200


def test_a_name_that_tensorboard_cannot_write_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"run\xff")
    with pytest.raises(TrisepError, match="the name is not valid UTF-8, which TensorBoard needs; choose another --out"):
        RunFolder(path, RECIPE, is_main=True)
    assert not path.exists()
