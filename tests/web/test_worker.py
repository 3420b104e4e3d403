"""The process of a lane gives up a task at an interrupt, and only then."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from trisep.errors import MediaError
from trisep.web import worker
from trisep.web.tasks import Tasks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process can be told to give up there")


class Interrupted(Tasks):
    """Tasks, one of which is interrupted while it is done, and by a handler of all failures in it."""

    def short(self, task: dict[str, Any], progress: Any) -> dict[str, Any]:
        progress(0.5)
        return {"done": True}

    def long(self, task: dict[str, Any], progress: Any) -> dict[str, Any]:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except Exception as error:
            raise MediaError("taken for a failure") from error
        return {"done": True}


def test_an_interrupt_ends_the_task_that_is_done_and_no_other(tmp_path: Path) -> None:
    before, channel = signal.getsignal(signal.SIGINT), (tmp_path / "said").open("w+", encoding="utf-8")
    try:
        interruption = worker._Interruption()
        for name in ("long", "short"):
            os.kill(os.getpid(), signal.SIGINT)  # between tasks: nobody minds
            tasks = Interrupted("default", device="cpu")
            worker._do(tasks, {"name": name, "path": "p", "title": "t"}, channel, interruption)
    finally:
        signal.signal(signal.SIGINT, before)
    with channel:
        channel.seek(0)
        said = [json.loads(line) for line in channel]
    assert said == [{"cancelled": True}, {"progress": 0.5}, {"result": {"done": True}}]
