"""What is asked of the C library, read back from what a process then holds."""

import subprocess
import sys

import pytest

_PROGRAM = """
import re, sys
import numpy as np
from pathlib import Path
from trisep.media.memory import give_back_freed, keep_freed

def resident_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

if "keep" in sys.argv:
    keep_freed()
before = resident_mib()
block = np.ones(100 << 20, np.uint8)
del block
kept = resident_mib() - before
give_back_freed()
print(kept, resident_mib() - before)
"""

_IN_TURN = """
import re, sys, threading
from pathlib import Path
from trisep.media.memory import share_freed

def resident_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def use():
    blocks = [bytearray(100_000) for _ in range(400)]
    last = bytearray(1000)
    kept.append(last)

kept = []
if "share" in sys.argv:
    share_freed()
before = resident_mib()
use()
thread = threading.Thread(target=use)
thread.start()
thread.join()
print(resident_mib() - before)
"""


def held(*arguments: str) -> tuple[float, float]:
    """MiB that a process holds of a freed block of 100 MiB, before and after it is asked to give memory back."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    first, second = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(first), float(second)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_freed_block_is_kept_where_that_was_asked_and_given_back_when_that_is_asked() -> None:
    assert held()[0] < 10
    kept, given_back = held("keep")
    assert kept > 90
    assert given_back < 10


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thread_takes_what_another_one_freed() -> None:
    def resident(*arguments: str) -> float:
        command = [sys.executable, "-c", _IN_TURN, *arguments]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert resident("share") + 5 < resident()
