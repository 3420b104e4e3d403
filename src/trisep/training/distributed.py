"""Training by several processes (torchrun): what must hold before they begin together, and what they tell each other
beside gradients.

The processes share each batch evenly, every n-th sample each, and the gradient is the mean over them: the one of the
whole batch. Batch normalisation takes the statistics of a process's own share, as it does of a micro-batch: n processes
make the step that one process makes with `training.accumulation_steps` = n. Its running statistics, which only
evaluation reads, are those of the main process.
"""

import torch
from accelerate import Accelerator

from trisep.errors import ConfigError, TrainingError
from trisep.recipes import Recipe
from trisep.training.run_folder import RunFolder


def require_even_shares(recipe: Recipe, num_processes: int) -> None:
    """ConfigError when the batch cannot be shared evenly: the mean over the processes would not be the mean over the
    batch.
    """
    training = recipe.training
    num_parts = training.accumulation_steps * num_processes
    if training.batch_size % num_parts:
        raise ConfigError(
            f"training.batch_size: {num_processes} processes times {training.accumulation_steps} micro-batches expect "
            "a multiple of "
            f"{num_parts}, got {training.batch_size}; change it with --set training.batch_size=…"
        )


def require_same_start(accelerator: Accelerator, folder: RunFolder, first_step: int) -> None:
    """TrainingError when the processes found training states of different steps, as on machines that do not share the
    run folder.
    """
    found = accelerator.gather(torch.tensor([first_step], device=accelerator.device)).tolist()
    if len(set(found)) > 1:
        raise TrainingError(
            f"{folder.path}: the processes found states of different steps {found}; --out must be a folder that all see"
        )


def mean_over_processes(accelerator: Accelerator, values: dict[str, float]) -> dict[str, float]:
    """Of values that each process saw on its share of the batch, what all of them saw; alone, what this one saw."""
    if accelerator.num_processes == 1:
        return values
    own = torch.tensor(list(values.values()), device=accelerator.device)
    return dict(zip(values, accelerator.reduce(own, "mean").tolist(), strict=True))
