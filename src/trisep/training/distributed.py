"""Distributed training (torchrun): what is checked before it starts, and what processes exchange beside gradients.

The processes share each batch evenly, every n-th sample each, and the gradient is the mean over them, which is that of
the whole batch. Batch normalisation takes its statistics from a process's own share, as it does from a micro-batch: n
processes take the same step that one process takes with `training.accumulation_steps` = n. The running statistics,
which only evaluation reads, are those of the main process.
"""

import torch
from accelerate import Accelerator

from trisep.errors import ConfigError, TrainingError
from trisep.recipes import Recipe
from trisep.training.run_folder import RunFolder


def require_even_shares(recipe: Recipe, num_processes: int) -> None:
    """Raise ConfigError when the batch cannot be shared evenly.

    With uneven shares the mean over the processes would not be the mean over the batch.
    """
    training = recipe.training
    num_parts = training.accumulation_steps * num_processes
    if training.batch_size % num_parts:
        raise ConfigError(
            f"training.batch_size: {num_processes} processes times {training.accumulation_steps} micro-batches expect "
            f"a multiple of {num_parts}, got {training.batch_size}; change it with --set training.batch_size=…"
        )


def require_same_start(accelerator: Accelerator, folder: RunFolder, first_step: int) -> None:
    """Raise TrainingError when the processes found training states of different steps.

    This happens on machines that do not share the run folder.
    """
    found = accelerator.gather(torch.tensor([first_step], device=accelerator.device)).tolist()
    if len(set(found)) > 1:
        raise TrainingError(
            f"{folder.path}: the processes found states of different steps {found}; --out must be a folder they share"
        )


def mean_over_processes(accelerator: Accelerator, values: dict[str, float]) -> dict[str, float]:
    """Average values that each process computed on its share of the batch; a single process gets its own back."""
    if accelerator.num_processes == 1:
        return values
    own = torch.tensor(list(values.values()), device=accelerator.device)
    return dict(zip(values, accelerator.reduce(own, "mean").tolist(), strict=True))
