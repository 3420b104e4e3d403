"""Shards made on a Ray cluster, or by Ray on this machine (extra `cluster`). It knows nothing of a shard's content.

Every machine must have trisep installed, and see the inputs and the store under the same paths, because work and
results are passed through files.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from trisep import errors
from trisep.errors import ConfigError, TrisepError, needs_extra

LOCAL = "local"
"""The address that starts Ray on this machine, for this run only."""
PATIENCE_SECONDS = 600
"""How long the parts of a Ray of our own may take to find each other; they need five seconds of processor time."""

_OF_OUR_OWN = {
    **dict.fromkeys(("RAY_raylet_start_wait_time_s", "RAY_gcs_server_port_wait_time_s"), str(PATIENCE_SECONDS)),
    **dict.fromkeys(("RAY_DASHBOARD_STARTUP_TIMEOUT_S", "RAY_worker_register_timeout_seconds"), str(PATIENCE_SECONDS)),
    "RAY_agent_register_timeout_ms": str(1000 * PATIENCE_SECONDS),
    "RAY_worker_niceness": "0",
}
"""Settings of a Ray that is started here. It gives its parts 30 or 60 seconds to start by itself, too few on a machine
that others keep busy, and its workers niceness 15."""

Item = TypeVar("Item")
Elsewhere = Callable[[Sequence[int], Callable[[int], object]], Iterator[int]]
"""`run_on_cluster` for the shards of a store, with a cluster chosen."""


def run_on_cluster(
    items: Sequence[Item], work: Callable[[Item], object], *, address: str, num_workers: int | None = None
) -> Iterator[Item]:
    """Do the work of each item somewhere on a cluster, and yield the items in order as they are done.

    Each item is one task of one processor, scheduled by Ray Data. A task that is lost with its machine is run again, so
    `work` must write the same files however often it runs. Items and `work` are sent pickled.

    Args:
        items: the items to work on.
        work: is called with one item, in a process of Ray's; its result is dropped.
        address: "local", "auto" for the cluster that this machine belongs to, or the cluster's "HOST:PORT".
        num_workers: number of processes with "local"; None takes one per processor. A cluster has its own number.

    Raises MissingExtraError when Ray is not installed, ConfigError when it is not reached, and whatever TrisepError
    `work` raises.
    """
    if not items:
        return
    ray = _import_ray(address)
    begun_here = _connect(ray, address, num_workers)
    try:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        # One block per item: a block is what Ray hands to a process.
        done = ray.data.from_items([{"item": item} for item in items], override_num_blocks=len(items)).map(
            partial(_attempt, work)
        )
        for item, row in zip(items, done.iter_rows(), strict=True):
            if row["error"]:
                raise getattr(errors, row["kind"], TrisepError)(row["error"])
            yield item
    finally:
        if begun_here:
            ray.shutdown()


def _attempt(work: Callable[[Any], object], row: dict[str, Any]) -> dict[str, Any]:
    """Do one item's work in a process of the cluster.

    A user's error is returned as a result, since Ray would wrap it in an exception of its own.
    """
    kind = error = ""
    try:
        work(row["item"])
    except TrisepError as caught:
        kind, error = type(caught).__name__, str(caught)
    return {"kind": kind, "error": error}


def _import_ray(address: str) -> Any:
    """Import Ray; MissingExtraError names the extra that installs it."""
    # Ray reads these when it is imported. It would report its use over the network otherwise.
    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", **(_OF_OUR_OWN if address == LOCAL else {})}.items():
        os.environ.setdefault(name, value)
    with needs_extra("--cluster", "cluster"):
        import ray
        import ray.data
    return ray


def _connect(ray: Any, address: str, num_workers: int | None) -> bool:
    """Connect to the cluster, unless the caller has done so; return whether the connection is ours to close."""
    if ray.is_initialized():
        return False
    # Ray rejects a number of processors for a cluster that runs already, and needs no dashboard for one of our own.
    own = {"num_cpus": num_workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, logging_level="error", log_to_driver=False, **own)
    # Ray has no exception class for this: a node that is slow to start raises a bare Exception.
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")
        if address == LOCAL:
            raise ConfigError(
                f"--cluster local: Ray does not start on this machine ({reason}); run it again when less else runs, or "
                "leave --cluster out: one process gives the same files"
            ) from error
        raise ConfigError(
            f"--cluster {address}: no Ray cluster is reached there ({reason}); start one with `ray start --head`"
        ) from error
    return True
