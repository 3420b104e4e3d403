"""The process of a lane: one task per line of JSON on stdin, its progress and its end as lines of JSON on stdout.

    {"name": "separate", …}   →   {"progress": 0.4} … {"result": {…}} or {"error": "…"}

The first line out says that it is ready. It ends when stdin does, so it never outlives the server.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from trisep.errors import TrisepError
from trisep.web.tasks import Tasks

_PROGRESS_SECONDS = 0.1


def main() -> None:
    """Do tasks until stdin ends."""
    settings = json.loads(sys.argv[1])
    # Whatever libraries print goes to stderr: stdout carries messages alone.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
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
        _do(tasks, json.loads(line), channel)


def _do(tasks: Tasks, task: dict[str, Any], channel: TextIO) -> None:
    """Do one task and say how it ended."""
    last = 0.0

    def progress(share: float) -> None:
        """Pass progress on, a few times a second."""
        nonlocal last
        if time.monotonic() - last > _PROGRESS_SECONDS:
            last = time.monotonic()
            _say(channel, progress=round(share, 4))

    try:
        result = getattr(tasks, task["name"])(task, progress)
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
