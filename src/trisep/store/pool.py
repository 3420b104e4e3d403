"""Shards made by several processes, none of which outlives a run that was killed or ends the run when it crashes.

It knows nothing of a shard's content.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait
from typing import TypeVar

from trisep.errors import StoreError
from trisep.store.shard_job import ShardJob, last_read, make_shard

T = TypeVar("T")
R = TypeVar("R")


def run_jobs(
    jobs: Sequence[ShardJob], *, num_workers: int, make: Callable[[ShardJob], None] = make_shard
) -> Iterator[ShardJob]:
    """Make the shards and yield each job when it is done, in any order.

    With one worker everything happens in this process. With more, a file that crashes its process (decoders do that) is
    found and counted as broken, and the run continues.

    Raises StoreError when a process dies for another reason, and the errors of `make`.
    """
    if min(num_workers, len(jobs)) <= 1:
        for job in jobs:
            make(job)
            yield job
        return
    remaining = {job.number: job for job in jobs}
    try:
        for job in _run_pool(jobs, num_workers, make):
            del remaining[job.number]
            yield job
    except BrokenProcessPool:
        # It is not known which file crashed its process. Each job is run alone, where the file crashes it again.
        for job in tuple(remaining.values()):
            yield make_alone(job, make)


def _run_pool(jobs: Sequence[ShardJob], num_workers: int, make: Callable[[ShardJob], None]) -> Iterator[ShardJob]:
    """Run jobs side by side, in processes that are spawned, not forked.

    Forking would copy the decoding threads and locks of this process.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(jobs)), mp_context=context, initializer=end_with_parent) as pool:
        futures = {pool.submit(make, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            pool.shutdown(cancel_futures=True)


def make_alone(job: ShardJob, make: Callable[[ShardJob], None] = make_shard) -> ShardJob:
    """Make one shard in a process of its own, leaving out each file that crashes it; return the job that was done.

    Raises StoreError when the process dies for another reason.
    """
    while True:
        try:
            return next(_run_pool([job], 1, make))
        except BrokenProcessPool as error:
            source = last_read(job)
            if source is None or source in job.crashing:
                raise StoreError(
                    f"{job.store}: the process that makes {job.name} died (killed, or out of memory); run the same "
                    "command again to continue"
                ) from error
            job = replace(job, crashing=job.crashing | {source})


def apart(work: Callable[[T], R], value: T, *, otherwise: R) -> R:
    """Return `work(value)` as a process of its own computes it, or `otherwise` where that process dies of it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        try:
            return pool.submit(work, value).result()
        except BrokenProcessPool:
            return otherwise


def end_with_parent() -> None:
    """End a worker when the process that started it has ended: after a killed run, no worker may go on writing."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        """Wait for the parent process to end, then end this one."""
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
