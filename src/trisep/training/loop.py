"""`trisep train`: clip store → mixtures → network → losses → checkpoint. This file holds the whole training loop.

A run folder holds `recipe.json`, `log.jsonl`, `tensorboard/`, the last training states under `states/`, the current
model under `model/` (averaged weights where the recipe averages), the best one by validation under `best/`, and
`training.png` at the end. Running the same command again resumes the run.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from trisep.checkpoints.format import (
    git_revision,
    load_optimizer_tensors,
    load_state,
    optimizer_tensors,
    save_model,
    save_state,
)
from trisep.encoders import TEXT_ENCODER_NAMES
from trisep.errors import ConfigError, StoreError, TrainingError
from trisep.losses.masks import MaskLoss
from trisep.media.lock import locked
from trisep.media.memory import keep_freed
from trisep.mixing.augmentation import AugmentationConfig
from trisep.recipes import OptimizerConfig, QueryKind, Recipe
from trisep.spectrogram.log_frequency import to_log_frequency
from trisep.spectrogram.stft import stft
from trisep.store.read import ClipStore
from trisep.training.data import (
    VALIDATION_SEED,
    MixtureDataset,
    batches,
    open_store,
    require_one_mixture,
    to_mixture,
)
from trisep.training.distributed import mean_over_processes, require_even_shares, require_same_start
from trisep.training.initialisation import initial_network, start_entry
from trisep.training.material import material_of, require_same_material
from trisep.training.run_folder import RunFolder, TrainingLog, require_place_of
from trisep.training.validation import validate
from trisep.types import Mixture, SpectralMixture


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """Where a run reads and writes; what it computes is decided by the recipe."""

    data: Path | str
    """A store's folder, or an address with "://" from which it is streamed (see `training/stream.py`)."""
    out: Path
    offscreen: Path | None = None
    """A store of sounds that no query names, which are mixed in as the recipe says."""
    validation: Path | None = None
    """A store to validate on; without one, validation mixes the training clips without augmentation."""
    init: Path | None = None
    """A checkpoint folder or file whose tensors are copied where they fit (see `training/initialisation.py`)."""
    labels: Path | None = None
    """The file of the clips' labels, for recipes that declare `supervision = "labels"`."""
    keep_steps: int = 0
    """Keep the model of every step that is a multiple of this, under `kept/`; 0 keeps none."""
    cpu: bool = False
    """Whether to train on the CPU even where there is a GPU."""
    num_workers: int = 1
    shuffle_buffer: int = 1000
    """Number of clips of a streamed store among which mixtures are drawn; each worker has as many in memory."""

    @property
    def is_streamed(self) -> bool:
        """Whether the store is read from elsewhere."""
        return "://" in str(self.data) and not str(self.data).startswith("file://")


def train(recipe: Recipe, settings: TrainSettings, *, on_step: Callable[[int], None] | None = None) -> Path:
    """Train to the end of the recipe, resuming the run in `settings.out`; return the folder of the final model."""
    precision = {"fp32": "no"}.get(recipe.training.precision, recipe.training.precision)
    keep_freed()
    accelerator = Accelerator(mixed_precision=precision, cpu=settings.cpu)
    with locked(settings.out) if accelerator.is_main_process else nullcontext():
        return _train(accelerator, recipe, settings, on_step)


def _train(
    accelerator: Accelerator, recipe: Recipe, settings: TrainSettings, on_step: Callable[[int], None] | None
) -> Path:
    """Do what `train` does, in a folder that is locked; nothing is written before it is known that it can begin."""
    require_even_shares(recipe, accelerator.num_processes)
    require_place_of(settings.out, recipe)
    torch.manual_seed(recipe.training.seed)
    network, told = initial_network(recipe, settings.init)
    datasets = _open_data(recipe, settings)
    folder = RunFolder(settings.out, recipe, is_main=accelerator.is_main_process)
    _tell([*told, *_lacks(recipe, settings)], is_main=accelerator.is_main_process)
    averaged = {key: value.detach().clone().to(accelerator.device) for key, value in network.state_dict().items()}
    model, optimizer = accelerator.prepare(network, _optimizer(network, recipe.optimizer))
    resumed = _resume(folder, accelerator.unwrap_model(model), optimizer, averaged)
    require_same_material(resumed, *datasets, settings)
    first_step = int(resumed.get("step", 0))
    require_same_start(accelerator, folder, first_step)
    card = _card(*datasets, resumed.get("init") or (start_entry(settings.init) if settings.init else None))
    fetched = _batches(settings)(
        datasets[0],
        first_step=first_step,
        last_step=recipe.training.num_steps,
        rank=accelerator.process_index,
        num_ranks=accelerator.num_processes,
        num_workers=settings.num_workers,
    )
    with TrainingLog(folder, recipe, first_step, is_main=accelerator.is_main_process) as log:
        started = monotonic()
        for step, batch in enumerate(fetched, start=first_step):
            waited, started = monotonic() - started, monotonic()
            values = _train_step(accelerator, model, optimizer, batch, datasets[0], step)
            _average(averaged, accelerator.unwrap_model(model), _ema_decay(recipe, step))
            done = step + 1
            log.step(done, values, learning_rate=_learning_rate(recipe, step), waited=waited, started=started)
            last = done == recipe.training.num_steps
            if accelerator.is_main_process and (done % recipe.training.validation_steps == 0 or last):
                current = _with_weights(recipe, averaged, accelerator.device)
                scores = validate(current, datasets[1], recipe, accelerator.device)
                if log.validation(done, scores):
                    _save_model(folder.best, recipe, card, averaged, done, scores)
            if accelerator.is_main_process and (done % recipe.training.checkpoint_steps == 0 or last):
                _save(folder, accelerator.unwrap_model(model), optimizer, averaged, recipe, card, done, log.scores)
            if accelerator.is_main_process and settings.keep_steps and done % settings.keep_steps == 0:
                _save_model(folder.kept(done), recipe, card, averaged, done, log.scores)
            if on_step is not None:
                on_step(done)
            started = monotonic()
    if accelerator.is_main_process:
        log.draw()
    return folder.model


def _lacks(recipe: Recipe, settings: TrainSettings) -> list[str]:
    """Say what the recipe asks for and the run lacks."""
    if recipe.mixing.interference_probability > 0 and settings.offscreen is None:
        return ["no --offscreen store: no off-screen sounds are mixed in, though the recipe asks for them"]
    return []


def _tell(lines: list[str], *, is_main: bool) -> None:
    """Print lines on stderr, in the main process."""
    for line in lines if is_main else ():
        print(line, file=sys.stderr)


def to_spectra(mixture: Mixture, recipe: Recipe) -> SpectralMixture:
    """Transform a batch of sounds into what the network and the losses read."""
    spectra = stft(mixture.sources, recipe.signal)
    total = sum(spectra.unbind(1)[1:], start=spectra[:, 0])
    if mixture.interference is not None:
        total = total + stft(mixture.interference, recipe.signal)
    return SpectralMixture(mixture, to_log_frequency(spectra.abs()), to_log_frequency(total.abs()), spectra, total)


def _train_step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    batch: dict[str, Tensor],
    data: MixtureDataset,
    step: int,
) -> dict[str, float]:
    """Take one optimiser step over the step's micro-batches, and return the values to log.

    Raises TrainingError when the loss is not a finite number.
    """
    recipe = data.recipe
    for group in optimizer.param_groups:
        group["lr"] = _learning_rate(recipe, step)
    parts = recipe.training.accumulation_steps
    optimizer.zero_grad(set_to_none=True)
    values = {"loss": 0.0}
    vocabulary = data.vocabulary(step)
    for part in range(parts):
        micro = {key: value[part::parts].to(accelerator.device) for key, value in batch.items()}
        mixture = to_mixture(micro, None if vocabulary is None else vocabulary.to(accelerator.device))
        with accelerator.no_sync(model) if part < parts - 1 else nullcontext(), accelerator.autocast():
            terms = recipe.loss(model, to_spectra(mixture, recipe))
            loss = terms.total / parts
        accelerator.backward(loss)
        values["loss"] += float(loss.detach())
        named = {
            f"loss_{name}": value for name, value in terms.weighted.items() if len(terms.weighted) > 1
        } | terms.observed
        for name, value in named.items():
            values[name] = values.get(name, 0.0) + float(value.detach()) / parts
    values = mean_over_processes(accelerator, values)
    if not math.isfinite(values["loss"]):
        raise TrainingError(
            f"step {step + 1}: the loss is {values['loss']}; batch = samples {step * recipe.training.batch_size} to "
            f"{(step + 1) * recipe.training.batch_size - 1} of seed {recipe.training.seed}; "
            "lower optimizer.learning_rate or check the clips"
        )
    norm = accelerator.clip_grad_norm_(model.parameters(), recipe.optimizer.gradient_clip)
    optimizer.step()
    return values | {"gradient_norm": float(norm)}


def _learning_rate(recipe: Recipe, step: int) -> float:
    config = recipe.optimizer
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    end = config.decay_steps or recipe.training.num_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, end - config.warmup_steps))
    if config.decay == "exponential":
        return float(config.learning_rate * config.final_factor**progress)
    shapes = {
        "constant": 1.0,
        "linear": 1 - progress,
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "step": float(progress < 1),
    }
    shape = shapes[config.decay]
    return config.learning_rate * (config.final_factor + (1 - config.final_factor) * shape)


def _ema_decay(recipe: Recipe, step: int) -> float:
    """Return the decay of the weight average.

    It is smaller at the start, so that the average forgets the random initialisation.
    """
    return min(recipe.training.ema_decay, (1 + step) / (10 + step))


@torch.no_grad()
def _average(averaged: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            averaged[key].lerp_(value, 1 - decay)
        else:
            averaged[key].copy_(value)


def _optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    if config.kind == "sgd":
        return torch.optim.SGD(
            network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
    )


def _batches(settings: TrainSettings) -> Callable[..., Iterator[dict[str, Tensor]]]:
    """Return what reads the batches."""
    if not settings.is_streamed:
        return batches
    from trisep.training.stream import streamed_batches

    return partial(streamed_batches, window_clips=settings.shuffle_buffer)


def _open_training_store(settings: TrainSettings, recipe: Recipe) -> ClipStore:
    """Open the store to train on: a folder, or a stream, which needs packages of its own."""
    if not settings.is_streamed:
        return open_store(Path(str(settings.data).removeprefix("file://")), recipe)
    if settings.validation is None:
        raise ConfigError(
            f"--data {settings.data}: a store that is streamed is not validated on; add --validation with a local store"
        )
    from trisep.training.stream import open_streamed

    return open_streamed(str(settings.data), recipe)


@torch.random.fork_rng(devices=[])
def _open_data(recipe: Recipe, settings: TrainSettings) -> tuple[MixtureDataset, MixtureDataset]:
    """Open the training and the validation samples, which changes no random number that is drawn afterwards.

    Validation uses no augmentation, interference or absent queries, and its queries are pictures where possible.
    """
    if settings.labels is not None and recipe.supervision == "none":
        raise ConfigError(
            f"--labels: the recipe {recipe.name} learns without labels and must not see any; leave the option out"
        )
    store = _open_training_store(settings, recipe)
    offscreen = open_store(settings.offscreen, recipe) if settings.offscreen else None
    plain_mixing = replace(recipe.mixing, interference_probability=0.0, num_absent_queries=0)
    held_out = open_store(settings.validation, recipe) if settings.validation else store
    sees = not held_out.clips_without_pictures().size and recipe.encoder not in TEXT_ENCODER_NAMES
    query: QueryKind = "image" if recipe.query in ("text", "hybrid", "mixed") and sees else recipe.query
    plain = replace(recipe, augmentation=AugmentationConfig(), mixing=plain_mixing, query=query, loss=MaskLoss())
    training = MixtureDataset(store, recipe, seed=recipe.training.seed, offscreen=offscreen, labels=settings.labels)
    validation = MixtureDataset(held_out, plain, seed=VALIDATION_SEED, labels=settings.labels)
    for data in (validation,) if settings.is_streamed else (training, validation):
        require_one_mixture(data)
    if validation.queries.encoder_fingerprint != training.queries.encoder_fingerprint:
        raise StoreError(
            f"{held_out.path}: was embedded by another version of '{recipe.encoder}' than {store.path}; "
            f"run `trisep embed {held_out.path} --encoder {recipe.encoder} --overwrite`"
        )
    return training, validation


def _with_weights(recipe: Recipe, weights: dict[str, Tensor], device: torch.device) -> nn.Module:
    """Build a second network with these weights.

    Building one draws random numbers, which must not change the state of the generator that is saved and resumed.
    """
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = recipe.model.build()
    network.load_state_dict(weights)
    return network.to(device=device).eval()


def _resume(folder: RunFolder, network: nn.Module, optimizer: Any, averaged: dict[str, Tensor]) -> dict[str, Any]:
    """Load the newest training state and return its values: `step`, the number of steps done, `init`, `material`.

    The values are empty where there is no state.
    """
    newest = folder.newest_state()
    if newest is None:
        return {}
    tensors, values = load_state(newest)
    network.load_state_dict(
        {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    )
    for key, value in averaged.items():
        value.copy_(tensors[f"averaged.{key}"])
    load_optimizer_tensors(optimizer, tensors)
    torch.set_rng_state(tensors["rng"])
    return values


def _save(
    folder: RunFolder,
    network: nn.Module,
    optimizer: Any,
    averaged: dict[str, Tensor],
    recipe: Recipe,
    card: dict[str, Any],
    step: int,
    scores: dict[str, float],
) -> None:
    tensors = {f"model.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"averaged.{key}": value for key, value in averaged.items()}
    tensors |= optimizer_tensors(optimizer) | {"rng": torch.get_rng_state()}
    # The model is written first: a run killed in between resumes from an older state and writes the model again.
    _save_model(folder.model, recipe, card, averaged, step, scores)
    begun_with: dict[str, Any] = {key: card[key] for key in ("init", "material") if key in card}
    save_state(folder.state(step), tensors, {"step": step, **begun_with})
    folder.drop_old_states()


def _save_model(
    path: Path, recipe: Recipe, card: dict[str, Any], weights: dict[str, Tensor], step: int, scores: dict[str, float]
) -> None:
    network = _with_weights(recipe, weights, torch.device("cpu"))
    model_name = type(recipe.model).__module__.rsplit(".", 1)[-1]
    save_model(path, network, model_name=model_name, card={**card, "step": step, "metrics": scores})


def _card(data: MixtureDataset, validation: MixtureDataset, init: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a checkpoint's card holds besides step and scores.

    `init` describes the checkpoint that the run was initialised from.
    """
    recipe = data.recipe
    card = {
        "signal": asdict(recipe.signal),
        "encoder": recipe.encoder,
        "encoder_fingerprint": data.queries.encoder_fingerprint,
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "git_revision": git_revision(),
        "material": material_of(data, validation),
    }
    if init is not None:
        card["init"] = init
    if data.queries.labels_sha256:
        card["labels_sha256"] = data.queries.labels_sha256
    if recipe.query == "label":
        card["labels"] = list(data.queries.label_names)
    if data.teacher is not None:
        card["teacher_fingerprint"] = data.teacher.fingerprint
    return card
