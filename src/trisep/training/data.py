"""Training batches made from a clip store.

Each sample is a pure function of (seed, index), so a run resumes exactly, with any number of workers.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trisep.encoders import TEACHER_NAMES, AudioTeacher, load_teacher
from trisep.errors import ConfigError, StoreError, TrisepError
from trisep.media.level import gain_to
from trisep.mixing.augmentation import Augmentation, apply, draw, samples_needed
from trisep.mixing.mixture import MixtureChoice, draw_mixture, mix
from trisep.recipes import Recipe
from trisep.store.read import ClipStore
from trisep.training.queries import TrainingQueries
from trisep.types import Mixture, QueryEmbedding

VALIDATION_SEED = 977
"""Seed of the validation mixtures, which are therefore the same in every run."""
_T = TypeVar("_T")


class MixtureDataset(Dataset[dict[str, Tensor]]):
    """Training samples by index. Item `i` does not depend on any item before it."""

    def __init__(
        self,
        store: ClipStore,
        recipe: Recipe,
        *,
        seed: int,
        offscreen: ClipStore | None = None,
        labels: Path | None = None,
    ) -> None:
        """Open what the recipe reads.

        `store` must be embedded with the recipe's encoder if the recipe's queries are embeddings; `offscreen` holds
        sounds that no query names; `labels` is the label file of a recipe with supervision. Raises ConfigError when the
        recipe's model does not fit its data, StoreError when the store lacks something.
        """
        self.store, self.recipe, self.seed, self.offscreen = store, recipe, seed, offscreen
        self.queries = TrainingQueries(
            store,
            recipe.encoder,
            kind=recipe.query,
            mixing=recipe.mixing,
            labels=labels,
            templates=recipe.templates,
            num_boxes=getattr(recipe.model, "num_boxes", 1),
            crop_samples=recipe.signal.clip_samples,
        )
        self.captions = store.load_captions(recipe.encoder) if recipe.loss.needs & {"captions", "vocabulary"} else None
        self.teacher = _teacher(recipe)
        _check_sizes(recipe, self.queries)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one mixture.

        It holds sources [N, S], interference [S], queries (under the names that `TrainingQueries.read` gives them) and,
        where the loss needs them, captions [N, D] and teacher [E].
        """
        recipe, generator = self.recipe, np.random.default_rng([self.seed, index])
        choice = draw_mixture(len(self.store), recipe.mixing, generator, self.queries.groups)
        augmentations = [draw(recipe.augmentation, generator) for _ in range(recipe.mixing.num_sources)]
        placed = zip(choice.clips, choice.positions, augmentations, strict=False)
        crops = [self._source(clip, position, augmentation) for clip, position, augmentation in placed]
        sources, interference = self._mixed(crops, choice)
        sample = {"sources": sources, "interference": interference}
        sample |= self.queries.read(
            choice.clips, self._centres(choice), batch_number=index // recipe.training.batch_size
        )
        if self.captions is not None:
            sample["captions"] = self.captions[list(choice.clips[: len(crops)])]
        if self.teacher is not None:
            mixture = torch.from_numpy(sources.sum(axis=0) + interference)
            sample["teacher"] = self.teacher.encode_audio(mixture[None], recipe.signal.sample_rate_hz)[0].numpy()
        return {name: torch.from_numpy(values) for name, values in sample.items()}

    def vocabulary(self, step: int) -> Float[Tensor, "V D"] | None:
        """Return the latent captions that a step compares with: all of the store's, or a sample drawn for that step."""
        if "vocabulary" not in self.recipe.loss.needs or self.captions is None:
            return None
        size = min(len(self.captions), getattr(self.recipe.loss, "vocabulary_size", len(self.captions)))
        chosen = np.random.default_rng([self.seed, step, len(self.captions)]).choice(
            len(self.captions), size, replace=False
        )
        return torch.from_numpy(self.captions[np.sort(chosen)])

    def _mixed(
        self, crops: list[Float[np.ndarray, "S"]], choice: MixtureChoice
    ) -> tuple[Float[np.ndarray, "N S"], Float[np.ndarray, "S"]]:
        """Return the sources and the interference at the level of the recipe, changed by the gains that were drawn.

        Clips of equal level have it by themselves, up to the random part; otherwise the sum is measured.
        """
        level_db, gains_db = self.recipe.signal.mixture_level_db, [0.0] * len(crops)
        is_equalized = self.recipe.mixing.equalize_levels and level_db is not None
        if is_equalized:
            source_db = level_db + 10 * np.log10(len(crops))
            gains_db = [source_db - self.store.rms_db(clip) for clip in choice.clips[: len(crops)]]
        sources, interference = mix(crops, self._interference(choice), choice, level_gains_db=gains_db)
        if level_db is None or is_equalized:
            return sources, interference
        gain = gain_to(sources.sum(axis=0) + interference, level_db + choice.mixture_gain_db)
        return sources * gain, interference * gain

    def _source(self, clip: int, position: float, augmentation: Augmentation) -> Float[np.ndarray, "S"]:
        """Read and augment one crop."""
        signal = self.recipe.signal
        crop = read_crop(self.store, clip, position, samples_needed(signal.clip_samples, augmentation))
        return apply(crop, augmentation, num_samples=signal.clip_samples, sample_rate_hz=signal.sample_rate_hz)

    def _interference(self, choice: MixtureChoice) -> Float[np.ndarray, "S"] | None:
        """Read a crop of an off-screen sound, scaled so that the whole clip that it comes from has unit RMS."""
        if choice.interference is None or self.offscreen is None:
            return None
        clip = int(choice.interference[0] * len(self.offscreen))
        crop = read_crop(self.offscreen, clip, choice.interference[1], self.recipe.signal.clip_samples)
        return crop * np.float32(10 ** (-self.offscreen.rms_db(clip) / 20))

    def _centres(self, choice: MixtureChoice) -> list[float]:
        """Return the middle of each crop, in seconds from the start of its clip."""
        half_seconds = self.recipe.signal.clip_samples / self.recipe.signal.sample_rate_hz / 2
        durations = [self.store.num_samples(clip) / self.store.sample_rate_hz for clip in choice.clips]
        return [
            half_seconds + position * max(0.0, duration - 2 * half_seconds)
            for position, duration in zip(choice.positions, durations, strict=True)
        ]


def batches(
    dataset: MixtureDataset, *, first_step: int, last_step: int, rank: int = 0, num_ranks: int = 1, num_workers: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Yield the batches of steps `first_step` to `last_step` (excluded).

    Of each step's samples, a process gets every `num_ranks`-th, beginning with sample `rank`.
    """
    size = dataset.recipe.training.batch_size
    indices = [list(range(step * size + rank, (step + 1) * size, num_ranks)) for step in range(first_step, last_step)]
    loader = DataLoader(
        dataset,
        batch_sampler=indices,
        num_workers=num_workers,
        prefetch_factor=2 if num_workers else None,
        worker_init_fn=one_thread if num_workers else None,
        # Without a generator the loader draws its workers' seed from the one whose state a run saves and resumes.
        generator=torch.Generator(),
    )
    yield from told_by_workers(loader)


def told_by_workers(loader: Iterable[_T]) -> Iterator[_T]:
    """Yield from a loader; a user's error in one of its workers is raised in its own words, without their traceback."""
    try:
        yield from loader
    except TrisepError as error:
        kind = type(error)
        raise kind(str(error).rpartition(f"\n{kind.__module__}.{kind.__qualname__}: ")[2].strip()) from None


def to_mixture(batch: dict[str, Tensor], vocabulary: Float[Tensor, "V D"] | None = None) -> Mixture:
    """Turn a collated batch into a `Mixture`."""
    regions = batch["regions"].float() if "regions" in batch else None
    others = ("vectors", "label_ids", "frames", "box_labels", "box_vectors")
    query = QueryEmbedding(regions=regions, **{name: batch.get(name) for name in others})
    return Mixture(
        sources=batch["sources"],
        interference=batch["interference"],
        query=query,
        captions=batch.get("captions"),
        vocabulary=vocabulary,
        teacher=batch.get("teacher"),
    )


def open_store(path: Path, recipe: Recipe) -> ClipStore:
    """Open a store; StoreError when its sample rate is not the recipe's."""
    store = ClipStore(path)
    require_rate(store, recipe)
    return store


def require_one_mixture(dataset: MixtureDataset) -> None:
    """Raise StoreError when a store has too few clips, or too few labels, for one mixture of the recipe."""
    try:
        draw_mixture(len(dataset.store), dataset.recipe.mixing, np.random.default_rng(0), dataset.queries.groups)
    except ConfigError as error:
        raise StoreError(f"{dataset.store.path}: {error}; prepare more recordings") from error


def require_rate(store: ClipStore, recipe: Recipe) -> None:
    """Raise StoreError when a store's sample rate is not the recipe's."""
    if store.sample_rate_hz != recipe.signal.sample_rate_hz:
        raise StoreError(
            f"{store.path}: the store holds sound at {store.sample_rate_hz} Hz, the recipe {recipe.name} reads "
            f"{recipe.signal.sample_rate_hz}: prepare it again with --sample-rate-hz {recipe.signal.sample_rate_hz}"
        )


def _teacher(recipe: Recipe) -> AudioTeacher | None:
    """Load the audio teacher where the loss needs one.

    Raises ConfigError when the recipe names none, or when the model does not project to its dimension.
    """
    if "teacher" not in recipe.loss.needs:
        return None
    if recipe.teacher is None:
        raise ConfigError(
            f"teacher: the loss of the recipe {recipe.name} needs an audio teacher; add --set teacher=NAME with one of "
            f"{', '.join(TEACHER_NAMES)}"
        )
    teacher = load_teacher(recipe.teacher)
    if (dim := getattr(recipe.model, "teacher_dim", None)) != teacher.dim:
        raise ConfigError(
            f"model.teacher_dim: '{recipe.teacher}' gives vectors of {teacher.dim}, and the model of the recipe "
            f"{recipe.name} projects to {dim}; add --set model.teacher_dim={teacher.dim}"
        )
    return teacher


def _check_sizes(recipe: Recipe, queries: TrainingQueries) -> None:
    """Check that the model's sizes fit the data.

    Raises ConfigError where a network reads queries of another length, or has fewer labels, noise heads or masks than
    its mixtures need.
    """
    for name, values in queries.read((0,), (0.0,), batch_number=0).items():
        dim, is_embedding = values.shape[-1], name in ("vectors", "regions", "box_vectors")
        if is_embedding and (number := getattr(recipe.model, "embedding_dim", dim)) != dim:
            raise ConfigError(
                f"model.embedding_dim: '{recipe.encoder}' gives vectors of {dim}, and the model of the recipe "
                f"{recipe.name} reads {number}; add --set model.embedding_dim={dim}"
            )
    num_sources = recipe.mixing.num_sources
    needed = {"num_labels": len(queries.label_names), "num_noise_heads": num_sources, "num_sources": num_sources}
    for name, least in needed.items():
        if (number := getattr(recipe.model, name, least)) < least:
            raise ConfigError(
                f"model.{name}: these data need at least {least}, got {number}; add --set model.{name}={least}"
            )


def read_crop(store: ClipStore, clip: int, position: float, num_samples: int) -> Float[np.ndarray, "S"]:
    """Read a crop of a clip; a clip that is too short is repeated.

    The crop begins at the clip's start for `position` 0 and ends at the clip's end for 1.
    """
    available = store.num_samples(clip)
    start = int(position * max(0, available - num_samples + 1))
    crop = store.read_waveform(clip, start, min(num_samples, available))
    return crop if len(crop) == num_samples else np.resize(crop, num_samples)


def one_thread(_: int) -> None:
    """Keep a loader's worker to one thread: they would only take turns."""
    torch.set_num_threads(1)
