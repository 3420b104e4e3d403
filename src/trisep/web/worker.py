"""The process of a lane: one task per line of JSON on stdin, its progress and its end as lines of JSON on stdout.

    {"name": "separate", …}   →   {"progress": 0.4} … {"result": {…}} or {"error": "…"} or {"cancelled": true}

The first line out says that it is ready. An interrupt (SIGINT) ends the task that is being done, and nothing else. The
process ends when stdin does, so it never outlives the server.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from trisep.errors import TrisepError
from trisep.web.tasks import Tasks

_PROGRESS_SECONDS = 0.1


class _Cancelled(BaseException):
    """Nobody wants the task any more. No task takes it for a failure of its own."""


class _Interruption:
    """Raises _Cancelled at an interrupt while a task is done, and does nothing at any other time."""

    def __init__(self) -> None:
        self._is_busy = False
        signal.signal(signal.SIGINT, self._interrupt)

    def __enter__(self) -> None:
        self._is_busy = True

    def __exit__(self, *_: object) -> None:
        self._is_busy = False

    def _interrupt(self, number: int, frame: object) -> None:
        if self._is_busy:
            self._is_busy = False
            raise _Cancelled


def main() -> None:
    """Do tasks until stdin ends."""
    settings = json.loads(sys.argv[1])
    # Whatever libraries print goes to stderr: stdout carries messages alone.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    interruption = _Interruption()
    tasks = Tasks(settings["model"], device=settings["device"])
    try:
        if settings["loads_model"]:
            tasks.load()
    except TrisepError as error:
        _say(channel, error=str(error))
        return
    _say(channel, ready=True)
    if settings["loads_model"]:
        tasks.warm_up()
    for line in sys.stdin:
        _do(tasks, json.loads(line), channel, interruption)


def _do(tasks: Tasks, task: dict[str, Any], channel: TextIO, interruption: _Interruption) -> None:
    """Do one task and say how it ended."""
    last = 0.0

    def progress(share: float) -> None:
        """Pass progress on, a few times a second."""
        nonlocal last
        if time.monotonic() - last > _PROGRESS_SECONDS:
            last = time.monotonic()
            _say(channel, progress=round(share, 4))

    try:
        with interruption:
            result = getattr(tasks, task["name"])(task, progress)
    except _Cancelled:
        _say(channel, cancelled=True)
    except TrisepError as error:
        # People know their files by the names that these had with them.
        message = " ".join(str(error).split()).replace(task["path"], task["title"])
        for kind in ("image", "sound"):
            if example := task.get("query", {}).get(kind):
                message = message.replace(example, task["name_of_query"])
        _say(channel, error=message.replace(str(Path(task["path"]).parent), "the session"))
    else:
        _say(channel, result=result)


def _say(channel: TextIO, **message: Any) -> None:
    """Write one line."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
