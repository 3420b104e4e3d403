"""Training in several processes: the steps of one, what cannot be shared evenly, and what is logged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from training_stores import make_store, short_recipe
from two_processes import in_two_processes

from trisep.errors import ConfigError, TrainingError
from trisep.recipes import Recipe
from trisep.training.distributed import mean_over_processes, require_even_shares, require_same_start
from trisep.training.loop import TrainSettings, train
from trisep.training.run_folder import RunFolder

PROGRAM = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from test_training_distributed import plain
from trisep.training.loop import TrainSettings, train
store, out = map(Path, sys.argv[1:])
train(plain(accumulation_steps=1), TrainSettings(data=store, out=out, cpu=True, num_workers=0))
"""


def plain(*, accumulation_steps: int) -> Recipe:
    """Two steps of four mixtures, in single precision."""
    whole = short_recipe(num_steps=2, batch_size=4, checkpoint_steps=2, accumulation_steps=accumulation_steps)
    return replace(whole, training=replace(whole.training, precision="fp32"))


def curve(run: Path) -> list[dict[str, float]]:
    """The log's lines, without times."""
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in entry.items() if not name.endswith("_seconds")} for entry in entries]


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one_with_two_micro_batches(tmp_path: Path) -> None:
    store = make_store(tmp_path, num_clips=3)
    alone, together = tmp_path / "alone", tmp_path / "together"
    in_two_processes(PROGRAM, store, together)
    train(plain(accumulation_steps=2), TrainSettings(data=store, out=alone, cpu=True, num_workers=0))
    expected, found = curve(alone), curve(together)
    assert [entry["step"] for entry in found] == [entry["step"] for entry in expected] == [2, 2]
    for name in ("loss", "gradient_norm", "learning_rate"):
        assert found[0][name] == pytest.approx(expected[0][name], rel=1e-5)
    states = [load_file(run / "states" / "step-0000002" / "state.safetensors") for run in (alone, together)]
    for name, value in states[0].items():
        if name.startswith("model.") and "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-6)


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    recipe = plain(accumulation_steps=2)
    require_even_shares(recipe, 2)
    with pytest.raises(
        ConfigError, match="3 processes times 2 micro-batches expect a multiple of 6, got 4; change it with --set"
    ):
        require_even_shares(recipe, 3)


def test_processes_that_do_not_see_the_same_state_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path, plain(accumulation_steps=1), is_main=True)
    accelerator = Accelerator(cpu=True)
    require_same_start(accelerator, folder, 8)
    monkeypatch.setattr(Accelerator, "gather", lambda self, own: torch.cat([own, torch.tensor([0])]))
    with pytest.raises(
        TrainingError, match=r"found states of different steps \[8, 0\]; --out must be a folder they share"
    ):
        require_same_start(accelerator, folder, 8)


def test_what_is_logged_is_the_mean_over_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = Accelerator(cpu=True)
    assert mean_over_processes(accelerator, {"loss": 0.1}) == {"loss": 0.1}
    others = {"mean": torch.tensor([3.0, 5.0])}
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    monkeypatch.setattr(Accelerator, "reduce", lambda self, own, how: (own + others[how]) / 2)
    assert mean_over_processes(accelerator, {"loss": 1.0, "other": 2.0}) == {"loss": 2.0, "other": 3.5}
