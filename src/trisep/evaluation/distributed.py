"""One evaluation shared by the processes that torchrun started, on one machine or several. It knows nothing of what is
evaluated.

Of a list that all of them can walk, each process takes every n-th item; the main process gets all results, in the order
of the list.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

import torch
from torch import distributed

Item = TypeVar("Item")
_PATIENCE = timedelta(days=1)
"""How long a process waits for another one's mixture."""


class Ranks:
    """The processes that torchrun started, or this one alone: a context manager, in which they can talk.

    `rank` is the number of this process and `count` how many there are; the one with rank 0 is the main process.
    """

    def __init__(self) -> None:
        """Read what torchrun says."""
        launched = distributed.is_torchelastic_launched()
        self.rank = int(os.environ["RANK"]) if launched else 0
        self.count = int(os.environ["WORLD_SIZE"]) if launched else 1
        self._local_rank = int(os.environ["LOCAL_RANK"]) if launched else 0
        self._local_count = int(os.environ["LOCAL_WORLD_SIZE"]) if launched else 1

    def __enter__(self) -> "Ranks":
        """Meet the other processes."""
        if self.count > 1:
            distributed.init_process_group("gloo", timeout=_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Part from them."""
        if self.count > 1:
            distributed.destroy_process_group()

    @property
    def is_main(self) -> bool:
        """Whether this process gets the results."""
        return self.rank == 0

    @property
    def num_processors(self) -> int:
        """This process's part of its machine's processors, at least 1."""
        return max(1, (os.cpu_count() or 1) // self._local_count)

    def share_gpus(self) -> None:
        """Let the processes that this one starts from now on see one GPU of those that are visible, its own where there
        are enough.
        """
        if self._local_count == 1:
            return
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[self._local_rank % len(gpus)]

    def from_main(self, number: int) -> int:
        """What the main process calls this with; the others' own numbers are dropped."""
        if self.count == 1:
            return number
        told = [number]
        distributed.broadcast_object_list(told)
        return told[0]

    def in_order(self, own: Iterator[Item]) -> Iterator[Item]:
        """Join the results of all processes, each for every `count`-th item from its rank on: to be walked by all of
        them at once.

        The main process gets every result in the order of the items, the others get none. A process that fails is
        noticed by torchrun, which ends the others.
        """
        if self.count == 1:
            yield from own
            return
        while True:
            round_results: list[Item | None] = [None] * self.count
            distributed.all_gather_object(round_results, next(own, None))
            there = [result for result in round_results if result is not None]
            if self.is_main:
                yield from there
            if len(there) < self.count:
                return
