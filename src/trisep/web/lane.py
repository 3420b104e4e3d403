"""A lane: a bounded queue of jobs, and the process that does them one after another.

A process that dies, by a broken file or by a kill, fails the job it was doing and is started again. A running job is
cancelled by interrupting its process, which goes on to the next job; one that does not answer soon, or on a system
without such a signal, is ended, which costs the seconds that a new one takes to start. This file knows no kind of job.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from trisep.errors import ConfigError

State = Literal["waiting", "running", "done", "failed", "cancelled"]
_LINE_BYTES = 1 << 22
_STOP_SECONDS = 3.0
"""How long a process may take to give up a job that is cancelled."""
INTERRUPT = None if sys.platform == "win32" else signal.SIGINT
"""Tells a process to give up its job; None where processes cannot be told."""


@dataclass(eq=False, slots=True)
class Job:
    """One task for a lane, and how it goes."""

    task: dict[str, Any]
    """What the process is sent."""
    on_end: Callable[["Job"], None] = lambda job: None
    """Called once, when the job is done, failed or cancelled."""
    state: State = "waiting"
    share: float = 0.0
    """How much is done, 0 to 1."""
    result: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    started: float | None = None
    """When it was taken from the queue, by the monotonic clock."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_open(self) -> bool:
        """Whether the job waits or runs."""
        return self.state in ("waiting", "running")

    def seconds_left(self) -> float | None:
        """Estimate the time to the end from the share that is done; None as long as that says nothing."""
        if self.state != "running" or self.started is None or self.share < 0.02:
            return None
        return (time.monotonic() - self.started) * (1 - self.share) / self.share

    def end(self, state: State, error: str | None = None) -> None:
        """Note how the job ended; only the first call counts."""
        if self.is_open:
            self.state, self.error = state, error
            self.on_end(self)
            self.ended.set()


class QueueFullError(Exception):
    """As many jobs wait as may."""


class Lane:
    """A queue and its process, which runs `trisep.web.worker` with some settings."""

    def __init__(self, settings: dict[str, Any], *, max_waiting: int) -> None:
        """Nothing runs before `start`."""
        self._settings, self._max_waiting = settings, max_waiting
        self._waiting: list[Job] = []
        self._arrival = asyncio.Event()
        self._running: Job | None = None
        self._loop: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it is ready; ConfigError with its words when it cannot be."""
        self._loop = asyncio.create_task(self._work(await self._started()))

    async def stop(self) -> None:
        """End every job and the process."""
        for job in list(self._waiting):
            self.cancel(job)
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        if self._running is not None:
            self._running.end("cancelled")
        await self._end_process()

    def submit(self, job: Job) -> Job:
        """Queue a job; QueueFullError when too many wait."""
        if len(self._waiting) >= self._max_waiting:
            raise QueueFullError
        self._waiting.append(job)
        self._arrival.set()
        return job

    def cancel(self, job: Job) -> None:
        """End a job: it leaves the queue, or its process is interrupted."""
        if job in self._waiting:
            self._waiting.remove(job)
            job.end("cancelled")
        elif job is self._running:
            # The loop sees the answer or the end of the process; until then files of the job may still be written.
            job.task["cancelled"] = True
            self._interrupt_process(job)

    def num_before(self, job: Job) -> int:
        """Return how many jobs are done before a waiting one."""
        return self._waiting.index(job) + (self._running is not None) if job in self._waiting else 0

    async def _work(self, process: asyncio.subprocess.Process) -> None:
        """Do jobs for ever."""
        while True:
            while not self._waiting:
                self._arrival.clear()
                await self._arrival.wait()
            job = self._running = self._waiting.pop(0)
            job.state, job.started = "running", time.monotonic()
            is_answered = await self._ask(process, job)
            if not is_answered:
                await self._end_process()
                code = process.returncode
                if job.task.get("cancelled"):
                    job.end("cancelled")
                else:
                    job.end("failed", f"The program that reads files stopped ({_reason(code)}). Try it once more.")
            self._running = None
            if not is_answered:
                try:
                    process = await self._started()
                except ConfigError as error:
                    print(f"trisep: error: {error}", file=sys.stderr)
                    await asyncio.sleep(_STOP_SECONDS)

    async def _ask(self, process: asyncio.subprocess.Process, job: Job) -> bool:
        """Send a job and follow it to its end; False when the process ended first."""
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.task).encode() + b"\n")
            await process.stdin.drain()
        except ConnectionError:
            return False
        while line := await process.stdout.readline():
            message = json.loads(line)
            if "progress" in message:
                job.share = message["progress"]
                continue
            job.result = message.get("result", {})
            state: State = "cancelled" if job.task.get("cancelled") else "failed" if "error" in message else "done"
            job.end(state, message.get("error") if state == "failed" else None)
            return True
        return False

    async def _started(self) -> asyncio.subprocess.Process:
        """Start a process and wait for its first line."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trisep.web.worker", json.dumps(self._settings)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        message = json.loads(line) if line else {"error": f"the worker stopped ({_reason(await self.process.wait())})"}
        if "error" in message:
            raise ConfigError(message["error"])
        return self.process

    def _interrupt_process(self, job: Job) -> None:
        """Have the process give up a running job, and kill it if it has not by then."""
        if INTERRUPT is None:
            self._kill_process()
            return
        self._send(INTERRUPT)

        def kill_if_deaf() -> None:
            """Kill the process if it is still at it."""
            if job is self._running and job.is_open:
                self._kill_process()

        asyncio.get_running_loop().call_later(_STOP_SECONDS, kill_if_deaf)

    async def _end_process(self) -> None:
        """End the process and wait for it."""
        self._kill_process()
        if self.process is not None:
            await self.process.wait()

    def _kill_process(self) -> None:
        """Kill the process if it runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        """Send the process a signal if it runs.

        Its own `kill` would first ask how a process that is dead already ended, and the answer comes only once: then
        nobody would know by which signal.
        """
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


def _reason(code: int | None) -> str:
    """Say how a process ended."""
    return f"signal {-code}" if code is not None and code < 0 else f"code {code}"
