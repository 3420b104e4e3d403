"""Training runs of the miniature benchmark: which there are, which are finished, what they cost. One folder
RUNS/ARM-SEED each.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arms import Arm, arms

from trisep.checkpoints.format import read_card
from trisep.encoders.efficientat import PLACE_VARIABLE
from trisep.training.loop import TrainSettings, train
from trisep.training.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One arm with one seed."""

    name: str
    """Of the arm."""
    arm: Arm
    seed: int
    folder: Path

    @property
    def model(self) -> Path:
        """The checkpoint at the end."""
        return self.folder / "model"

    def kept(self) -> dict[int, Path]:
        """The checkpoints that were kept, by step."""
        return {int(path.name.removeprefix("step-")): path for path in sorted(self.folder.glob("kept/step-*"))}

    def is_finished(self) -> bool:
        """Whether the model has all its steps. TrainingError when the folder holds a run of another recipe."""
        RunFolder(self.folder, self.arm.recipe, is_main=False)
        if not (self.model / "config.json").is_file():
            return False
        return bool(read_card(self.model)["step"] == self.arm.recipe.training.num_steps)

    def log(self) -> list[dict[str, Any]]:
        """The lines of `log.jsonl` that tell of training steps: means over the (ten) steps since the line before."""
        file = self.folder / "log.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return [entry for line in lines if line.endswith("}") and "step_seconds" in (entry := json.loads(line))]

    def seconds(self) -> float:
        """Wall time of all its steps, the wait for data included; validation and the writing of checkpoints are not."""
        lines = [{"step": 0}, *self.log()]
        return sum(
            (one["step"] - before["step"]) * (one["step_seconds"] + one["data_seconds"])
            for before, one in pairwise(lines)
        )


def planned_runs(out: Path, names: Sequence[str], num_steps: int, seeds: Sequence[int], **settings: Any) -> list[Run]:
    """All runs in the order of training: every arm with the first seed, then every arm with the next.

    `settings` are further ones of `arms`.
    """
    runs = []
    for seed in seeds:
        table = arms(num_steps, seed, **settings)
        runs += [
            Run(name=name, arm=table[name], seed=seed, folder=out / f"{name}-{seed}") for name in table if name in names
        ]
    return runs


def train_all(
    runs: Sequence[Run],
    *,
    store: Path,
    validation: Path,
    labels: Path,
    is_spent: Callable[[], bool],
    keep_steps: int = 0,
) -> dict[str, str]:
    """Train what is not finished, going on with what was interrupted; returns why runs were left out, by arm and seed.

    `is_spent` is asked before each run; once it says yes, none is started. The models of every `keep_steps` are kept.
    """
    left_out: dict[str, str] = {}
    for run in runs:
        label = f"{run.name}, seed {run.seed}"
        if run.is_finished():
            continue
        if run.arm.recipe.teacher is not None and not os.environ.get(PLACE_VARIABLE):
            left_out[label] = f"its teacher {run.arm.recipe.teacher} was not there ({PLACE_VARIABLE} names no file)"
        elif is_spent():
            left_out[label] = "the budget was spent"
        else:
            print(f"train {label}", flush=True)
            needed = labels if run.arm.recipe.supervision == "labels" else None
            train(
                run.arm.recipe,
                TrainSettings(
                    data=store,
                    out=run.folder,
                    validation=validation,
                    labels=needed,
                    keep_steps=keep_steps,
                    cpu=True,
                    num_workers=1,
                ),
            )
    return left_out


def median_step_seconds(runs: Sequence[Run]) -> float:
    """Over all lines of their logs: what other work the machine did now and then does not move it."""
    return float(np.median([entry["step_seconds"] for run in runs for entry in run.log()]))


def hours_of_training(runs: Sequence[Run]) -> float:
    """Wall time of the runs' steps times the threads of this process: the most processor time that they
    can have taken.
    """
    return sum(run.seconds() for run in runs) * torch.get_num_threads() / 3600
