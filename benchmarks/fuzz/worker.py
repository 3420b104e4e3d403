"""A process that tries one input after another, and says on a pipe how each ended. It is forked from a parent that has
imported everything, and has a limit of address space.
"""

import json
import os
import resource
import shutil
import sys
import traceback
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

from benchmarks.fuzz.kinds import Kind
from trisep.errors import TrisepError
from trisep.media.files import TEMPORARY_PATTERN
from trisep.terminal.streams import one_line

_MIB = 1 << 20


def serve(
    kind: Kind, examples: Path, scratch: Path, seed: int, numbers: BinaryIO, answers: BinaryIO, *, limit_mib: int
) -> None:
    """Try the inputs whose numbers come in, one a line; answer each with one line of JSON."""
    size = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, ((size + 2 * limit_mib) * _MIB, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for line in numbers:
        answer = _try(kind, examples, scratch, f"{kind.name}:{seed}:{int(line)}")
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _try(kind: Kind, examples: Path, scratch: Path, name: str) -> dict[str, Any]:
    """Try one input in an empty folder."""
    folder = scratch / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    said = scratch / "said"
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    Path("/proc/self/clear_refs").write_text("5")
    outcome, detail = attempt(kind, examples, folder, name)
    sys.stdout.flush()
    sys.stderr.flush()
    left = sorted(path.name for path in folder.rglob(TEMPORARY_PATTERN))
    noise = [line for line in said.read_text(errors="replace").splitlines() if "Warning" in line or "Traceback" in line]
    return {
        "outcome": outcome,
        "detail": detail,
        "peak_mib": _status("VmHWM"),
        "left": left,
        "noise": noise[:1],
    }


def attempt(kind: Kind, examples: Path, folder: Path, name: str, *, debug: bool = False) -> tuple[str, str]:
    """Make the input `name` in `folder` and try it; return accepted, refused or traceback, and the words."""
    here = os.getcwd()
    try:
        os.chdir(folder)
        kind.attempt(Random(name), examples, folder)
    except TrisepError as error:
        message = one_line(str(error))
        return ("refused", message[:300]) if len(message) < 3000 else ("traceback", f"long message: {message[:600]}")
    except BaseException as error:
        if debug:
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/trisep/" in frame.filename]
        place = ours[-1] if ours else last
        where = f"{Path(place.filename).name}:{place.lineno} in {place.name}"
        return "traceback", f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:300]}"
    finally:
        os.chdir(here)
    return "accepted", ""


def _status(name: str) -> int:
    """Read a size of this process in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) // 1024
