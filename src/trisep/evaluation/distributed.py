"""One evaluation shared by the processes that torchrun started, on one machine or several.

Each process takes every n-th item of a list that all of them can read; the main process gets all results, in the order
of the list. This module does not know what is evaluated.
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
"""How long a process waits for another process to finish its mixture."""


class Ranks:
    """The processes that torchrun started, or this one alone; a context manager in which they can exchange results.

    `rank` is the number of this process and `count` the number of processes; the one with rank 0 is the main process.
    """

    def __init__(self) -> None:
        """Read the environment variables that torchrun sets."""
        launched = distributed.is_torchelastic_launched()
        self.rank = int(os.environ["RANK"]) if launched else 0
        self.count = int(os.environ["WORLD_SIZE"]) if launched else 1
        self._local_rank = int(os.environ["LOCAL_RANK"]) if launched else 0
        self._local_count = int(os.environ["LOCAL_WORLD_SIZE"]) if launched else 1

    def __enter__(self) -> "Ranks":
        """Connect to the other processes."""
        if self.count > 1:
            distributed.init_process_group("gloo", timeout=_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect from the other processes."""
        if self.count > 1:
            distributed.destroy_process_group()

    @property
    def is_main(self) -> bool:
        """Whether this process gets the results."""
        return self.rank == 0

    @property
    def num_processors(self) -> int:
        """Number of the machine's processors that this process may use, at least 1."""
        return max(1, (os.cpu_count() or 1) // self._local_count)

    def share_gpus(self) -> None:
        """Make one of the visible GPUs visible to the processes that this one starts from now on.

        Each rank has a GPU of its own where there are enough.
        """
        if self._local_count == 1:
            return
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[self._local_rank % len(gpus)]

    def from_main(self, number: int) -> int:
        """Return the number that the main process calls this with; the numbers of the others are dropped."""
        if self.count == 1:
            return number
        numbers = [number]
        distributed.broadcast_object_list(numbers)
        return numbers[0]

    def in_order(self, own: Iterator[Item]) -> Iterator[Item]:
        """Join the results of all processes, each for every `count`-th item from its rank on.

        All processes must iterate over this at the same time. The main process gets every result in the order of the
        items, the others get none. torchrun notices a process that fails, and ends the others.
        """
        if self.count == 1:
            yield from own
            return
        while True:
            round_results: list[Item | None] = [None] * self.count
            distributed.all_gather_object(round_results, next(own, None))
            found = [result for result in round_results if result is not None]
            if self.is_main:
                yield from found
            if len(found) < self.count:
                return
