"""Training batches from a store that lies elsewhere: windows of clips are read in turn, and mixtures drawn within them.

It is approximate where a local store is exact: a mixture is of clips of one window, a window is used for as many
mixtures as make every clip heard once on average, and the batches depend on the number of processes. They depend on
nothing else than that, the seed and the step, so a run that goes on reads on in the shard, at the position, where it
was, and ends in the same bits.
"""

from collections.abc import Iterator
from itertools import count, islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from trisep.errors import ConfigError, StoreError
from trisep.recipes import Recipe
from trisep.store.stream import StreamedStore, Window, plan_windows
from trisep.training.data import MixtureDataset, one_thread, require_rate, told_by_workers

_KINDS = ("none", "image", "regions", "frames")


def open_streamed(address: str, recipe: Recipe) -> StreamedStore:
    """Open a store at an address, with one clip shown.

    Raises ConfigError for a recipe that needs what a stream does not bring, StoreError where the store cannot be read.
    """
    if recipe.query not in _KINDS or recipe.loss.needs & {"captions", "vocabulary"} or recipe.supervision != "none":
        raise ConfigError(
            f"--data {address}: a store that is streamed brings pictures and their embeddings, and the recipe "
            f"{recipe.name} needs labels, captions or boxes, too; copy the store to this machine"
        )
    store = StreamedStore(
        address,
        encoder_name=recipe.encoder if recipe.query in ("image", "regions") else None,
        tensor="regions" if recipe.query == "regions" else "vectors",
        pictures=recipe.query == "frames",
    )
    require_rate(store, recipe)
    store.show(list(islice(store.read(range(len(store.manifest.shards))), 1)))
    return store


def streamed_batches(
    dataset: MixtureDataset,
    *,
    window_clips: int,
    first_step: int,
    last_step: int,
    rank: int = 0,
    num_ranks: int = 1,
    num_workers: int = 0,
) -> Iterator[dict[str, Tensor]]:
    """Yield the batches of steps `first_step` to `last_step` (excluded), as `batches` does for a local store."""
    windows = _StreamedBatches(dataset, window_clips, first_step, last_step, rank, num_ranks, max(1, num_workers))
    loader: DataLoader[dict[str, Tensor]] = DataLoader(
        windows,
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=2 if num_workers else None,
        worker_init_fn=one_thread if num_workers else None,
        # Without a generator the loader draws its workers' seed from the one whose state a run saves and resumes.
        generator=torch.Generator(),
    )
    yield from told_by_workers(loader)


class _StreamedBatches(IterableDataset[dict[str, Tensor]]):
    """The batches of one process: each of its workers reads shards of its own, and makes every n-th batch."""

    def __init__(
        self,
        dataset: MixtureDataset,
        window_clips: int,
        first_step: int,
        last_step: int,
        rank: int,
        num_ranks: int,
        num_workers: int,
    ) -> None:
        assert isinstance(dataset.store, StreamedStore)
        self._dataset, self._store, self._window_clips = dataset, dataset.store, window_clips
        self._first_step, self._last_step = first_step, last_step
        self._rank, self._num_ranks, self._num_workers = rank, num_ranks, num_workers
        self._share = dataset.recipe.training.batch_size // num_ranks
        if (num_streams := num_ranks * num_workers) > len(dataset.store.manifest.shards):
            raise ConfigError(
                f"--workers: {num_streams} processes would read {len(dataset.store.manifest.shards)} shards, each at "
                "least one; take fewer"
            )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of this worker."""
        info = get_worker_info()
        # The loader asks its workers in turn, and begins with the first.
        worker = (self._first_step + (0 if info is None else info.id)) % self._num_workers
        first = -(-(self._first_step - worker) // self._num_workers)
        for number in self._shown(self._rank * self._num_workers + worker, first):
            step = number * self._num_workers + worker
            if step >= self._last_step:
                return
            size = self._dataset.recipe.training.batch_size
            samples = range(step * size + self._rank, (step + 1) * size, self._num_ranks)
            yield default_collate([self._dataset[index] for index in samples])

    def _shown(self, stream: int, first: int) -> Iterator[int]:
        """Yield the numbers of a stream's batches from the first one on, each when its window is shown."""
        begin = 0
        for order, windows in self._epochs(stream):
            clips = None
            for window in windows:
                end = begin + self._num_batches(window)
                if end > first:
                    # The former window is let go before the next one is read.
                    self._store.show(())
                    clips = clips or self._store.read(order[window.place :], window.position)
                    self._store.show(list(islice(clips, window.num_clips)))
                    self._require_pictures()
                    yield from range(max(begin, first), end)
                begin = end

    def _epochs(self, stream: int) -> Iterator[tuple[list[int], list[Window]]]:
        """Yield the shards of a stream, in the order of each pass over the store, and the windows of the pass."""
        num_clips = [shard.num_clips for shard in self._store.manifest.shards]
        for epoch in count():
            generator = np.random.default_rng([self._dataset.seed, epoch, len(num_clips)])
            order = generator.permutation(len(num_clips))[stream :: self._num_ranks * self._num_workers].tolist()
            yield order, plan_windows(num_clips, order, self._window_clips)

    def _num_batches(self, window: Window) -> int:
        """Return the number of batches in which every clip of a window is heard once on average."""
        return max(1, round(window.num_clips / (self._dataset.recipe.mixing.num_sources * self._share)))

    def _require_pictures(self) -> None:
        if self._dataset.recipe.query != "none" and (blind := self._store.clips_without_pictures()).size:
            raise StoreError(
                f"{self._store.address}: the clip {self._store.source(int(blind[0]))} has no picture, which queries of "
                f"kind '{self._dataset.recipe.query}' need; prepare the store without --audio-only-ok"
            )
