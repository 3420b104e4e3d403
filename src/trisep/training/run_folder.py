"""The folder of a training run, and what is written to it during training.

These are states, log lines, TensorBoard events and the closing figure; progress is shown on the console.
"""

import json
import math
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from trisep.checkpoints.format import require_replaceable
from trisep.errors import ConfigError, TrainingError
from trisep.figures.training import draw_training
from trisep.media.files import is_utf8, make_folder, remove_leftovers, replacing, write_json
from trisep.media.records import checked, parse_json, read_json
from trisep.recipes import Recipe
from trisep.store.layout import MANIFEST

_LOG_STEPS = 10
_RECIPE = "recipe.json"


class RunFolder:
    """The paths of everything in a run folder. Opening one that holds another recipe's run is an error."""

    def __init__(self, path: Path, recipe: Recipe, *, is_main: bool) -> None:
        """Create the folder, or check that it holds the same recipe; a run without a training state is replaced.

        Raises what `require_place_of` raises.
        """
        require_place_of(path, recipe)
        self.path = path
        self.model, self.best, self.states = path / "model", path / "best", path / "states"
        self.log = path / "log.jsonl"
        if is_main and not _is_begun(path):
            make_folder(self.states)
            write_json(path / _RECIPE, _as_json(recipe))

    def state(self, step: int) -> Path:
        """Return the folder of the training state after `step` steps."""
        return self.states / f"step-{step:07d}"

    def kept(self, step: int) -> Path:
        """Return the folder of the model that is kept of a step."""
        return self.path / "kept" / f"step-{step:07d}"

    def newest_state(self) -> Path | None:
        """Return the last complete training state; None when there is none."""
        return _newest_state(self.states)

    def drop_old_states(self) -> None:
        """Remove all states but the last two, and what a killed run left half-written."""
        for old in sorted(self.states.glob("step-*"))[:-2]:
            shutil.rmtree(old)
        for folder in (self.path, self.states):
            remove_leftovers(folder)


def require_place_of(path: Path, recipe: Recipe) -> None:
    """Raise TrainingError where a run of a recipe can neither begin nor go on in a folder; nothing is written.

    That is where it holds another recipe's run, a clip store or a checkpoint of another kind, or where TensorBoard
    could not write below its name.
    """
    if not is_utf8(str(path)):
        raise TrainingError(f"{path}: the name is not valid UTF-8, which TensorBoard needs; choose another --out")
    if not _is_begun(path):
        if (path / MANIFEST).exists():
            raise TrainingError(f"{path}: is a clip store; choose another --out for the run")
        require_replaceable(path / "model")
        require_replaceable(path / "best")
        return
    wanted, found = _as_json(recipe), _read_recipe(path / _RECIPE)
    if found != wanted:
        changed = sorted(key for key in wanted | found if wanted.get(key, ...) != found.get(key, ...))
        raise TrainingError(
            f"{path}: holds a run whose recipe differs in {', '.join(changed)}; choose another --out, or remove it"
        )


def _is_begun(path: Path) -> bool:
    """Return whether a folder holds a run that can be gone on with."""
    return (path / _RECIPE).is_file() and _newest_state(path / "states") is not None


def _newest_state(states: Path) -> Path | None:
    """Return the last complete training state below a folder; None when there is none."""
    return max(states.glob("step-*"), default=None)


def _as_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON gives it back."""
    return dict(json.loads(json.dumps(asdict(recipe))))


def _read_recipe(file: Path) -> dict[str, Any]:
    """Read the recipe that a run was begun with; TrainingError when the file is damaged."""
    try:
        return dict(checked(Mapping[str, Any], read_json(file), "the recipe"))
    except ConfigError as error:
        raise TrainingError(f"{file}: is damaged ({error}); choose another --out, or remove the run") from error


def _read_log(file: Path) -> list[dict[str, Any]]:
    """Read the lines of a log; what a kill cut off, and anything else that is no entry, is left out."""
    entries = []
    for line in file.read_bytes().splitlines() if file.is_file() else ():
        with suppress(ValueError, ConfigError):
            entries.append(_entry(line))
    return entries


def _entry(line: bytes) -> dict[str, Any]:
    """Read one line of a log: a step, and numbers by name; those that were not finite are null there, and left out."""
    entry = checked(Mapping[str, Any], parse_json(line), "a line")
    numbers = {name: checked(float, value, name) for name, value in entry.items() if value is not None}
    return numbers | {"step": checked(int, entry.get("step"), "step")}


class TrainingLog:
    """The log of a run: JSON lines, TensorBoard and a progress bar.

    Lines of steps that a resumed run does again are dropped first.
    """

    def __init__(self, folder: RunFolder, recipe: Recipe, first_step: int, *, is_main: bool) -> None:
        """Read the log so far, of which `first_step` steps are kept."""
        self.folder, self.recipe, self.is_main = folder, recipe, is_main
        self.scores: dict[str, float] = {}
        self.first_step, self.best = first_step, float("-inf")
        self._sums: dict[str, float] = {}
        self._count = 0
        if not is_main:
            return
        kept = [entry for entry in _read_log(folder.log) if entry["step"] <= first_step]
        for entry in kept:
            if "si_sdri" in entry:
                self.scores = {key: value for key, value in entry.items() if key != "step"}
                self.best = max(self.best, entry["si_sdri"])
        with replacing(folder.log) as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")

    def __enter__(self) -> "TrainingLog":
        """Open the files and start the progress bar."""
        if self.is_main:
            self._file = self.folder.log.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=self.first_step + 1)
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[state]}"),
            )
            self._progress = Progress(TextColumn(self.recipe.name), *columns)
            self._task = self._progress.add_task(
                "train", total=self.recipe.training.num_steps, completed=self.first_step, state=""
            )
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything, also after a failure."""
        if self.is_main:
            self._progress.stop()
            self._board.close()
            self._file.close()

    def step(self, step: int, values: dict[str, float], *, learning_rate: float, waited: float, started: float) -> None:
        """Log one step; means over ten steps are written.

        `waited` is the time in seconds spent waiting for the batch, `started` the time at which the step began.
        """
        if not self.is_main:
            return
        values = values | {"data_seconds": waited, "step_seconds": monotonic() - started}
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        state = f"loss {values['loss']:.4f}" + (f"  val {self.scores['si_sdri']:+.2f} dB" if self.scores else "")
        self._progress.update(self._task, completed=step, state=state)
        if step % _LOG_STEPS == 0 or step == self.recipe.training.num_steps:
            means = {name: total / self._count for name, total in self._sums.items()}
            self._write(step, means | {"learning_rate": learning_rate})
            self._sums, self._count = {}, 0

    def validation(self, step: int, scores: dict[str, float]) -> bool:
        """Log validation scores; return True when they are the best so far."""
        self.scores = scores
        self._write(step, scores)
        improved = scores["si_sdri"] > self.best
        self.best = max(self.best, scores["si_sdri"])
        return improved

    def draw(self) -> None:
        """Draw the closing figure: loss and dB over steps."""
        draw_training(_read_log(self.folder.log), self.folder.path / "training.png")

    def _write(self, step: int, values: dict[str, float]) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
