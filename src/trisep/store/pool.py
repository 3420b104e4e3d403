"""Shards made by several processes, none of which outlives a killed run or brings it down. It knows nothing of what is
in a shard.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait

from trisep.errors import StoreError
from trisep.store.shard_job import ShardJob, last_read, make_shard


def run_jobs(
    jobs: Sequence[ShardJob], *, num_workers: int, make: Callable[[ShardJob], None] = make_shard
) -> Iterator[ShardJob]:
    """Make the shards and yield each job when it is done, in any order.

    With one worker everything happens in this process. With more, a file that crashes its process (decoders do) is
    found and counted as broken, and the run goes on; StoreError when a process dies for another reason. Errors of
    `make` are raised here.
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
        # Which of the files in work did it? Alone in a process, the guilty one does it again.
        for job in tuple(remaining.values()):
            yield make_alone(job, make)


def _run_pool(jobs: Sequence[ShardJob], num_workers: int, make: Callable[[ShardJob], None]) -> Iterator[ShardJob]:
    """Run jobs side by side. Spawned, not forked: decoding threads and locks of this process must not be copied."""
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
    """Make one shard in a process of its own, leaving out each file that crashes it; returns the job that was done in
    the end.

    StoreError when the process dies for another reason.
    """
    while True:
        try:
            return next(_run_pool([job], 1, make))
        except BrokenProcessPool as error:
            source = last_read(job)
            if source is None or source in job.crashing:
                raise StoreError(
                    f"{job.store}: the process that makes {job.name} died (killed, or out of memory); run the same "
                    "command again to go on"
                ) from error
            job = replace(job, crashing=job.crashing | {source})


def end_with_parent() -> None:
    """End a worker when the process that started it is gone: a killed run must leave nobody behind who still writes."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        """End with the parent process."""
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
