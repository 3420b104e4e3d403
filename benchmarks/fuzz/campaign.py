"""Workers are started, fed and, when they hang, killed; what went wrong is counted, and kept with its seed."""

import json
import os
import select
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.fuzz.kinds import Kind
from benchmarks.fuzz.worker import serve

LIMIT_SECONDS = 30
LIMIT_MIB = 2048
BAD = ("traceback", "hang", "crash", "over memory", "leftover")


@dataclass
class Tally:
    """How the inputs of one kind ended."""

    kind: str
    counts: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    """Of what is bad: how often each kind of message came, numbers and names left out."""
    examples: dict[str, str] = field(default_factory=dict)
    """One input for each cause."""
    noise: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    slowest_seconds: float = 0.0
    peak_mib: int = 0

    @property
    def num_inputs(self) -> int:
        """How many were tried."""
        return sum(self.counts[name] for name in ("accepted", "refused", "traceback", "hang", "crash"))

    @property
    def num_bad(self) -> int:
        """How many were neither accepted nor refused in one line, or left something, or took too much."""
        return sum(self.counts[name] for name in BAD)


def run_kind(
    kind: Kind, scratch: Path, *, seed: int, first: int, count: int, seconds: float, keep: Path | None
) -> Tally:
    """Try inputs `first` to `first + count` of a kind, until the time is up."""
    examples = scratch / f"examples-{kind.name}"
    examples.mkdir(parents=True, exist_ok=True)
    kind.prepare(examples)
    tally, end, worker = Tally(kind.name), time.monotonic() + seconds, None
    for number in range(first, first + count):
        if time.monotonic() > end:
            break
        if worker is None:
            worker = _Worker(kind, examples, scratch, seed)
        began = time.monotonic()
        try:
            answer = worker.ask(number)
        except KeyboardInterrupt:
            print(f"{kind.name}: interrupted before input {number}", file=sys.stderr)
            tally.interrupted = True
            break
        tally.slowest_seconds = max(tally.slowest_seconds, time.monotonic() - began)
        bad = _count(tally, answer, f"{kind.name}:{seed}:{number}")
        if bad and keep is not None:
            _keep(scratch / "input", keep / f"{kind.name}-{seed}-{number}", answer)
        if answer["outcome"] in ("hang", "crash"):
            worker.end()
            worker = None
    if worker is not None:
        worker.end()
    return tally


def _count(tally: Tally, answer: dict[str, Any], name: str) -> bool:
    """Count one answer; return whether it is bad."""
    tally.counts[answer["outcome"]] += 1
    tally.peak_mib = max(tally.peak_mib, answer.get("peak_mib", 0))
    bad = [answer["outcome"]] if answer["outcome"] in BAD else []
    for other, holds in (
        ("over memory", answer.get("peak_mib", 0) > LIMIT_MIB),
        ("leftover", bool(answer.get("left"))),
    ):
        tally.counts[other] += holds
        bad += [other] * holds
    for line in answer.get("noise", ()):
        tally.noise[line[-160:]] += 1
    for outcome in bad:
        cause = f"{outcome}: {answer.get('detail', '').partition(': ')[0]}"
        tally.causes[cause] += 1
        tally.examples.setdefault(cause, f"{name} {answer.get('detail', '')}")
    return bool(bad)


def _keep(folder: Path, kept: Path, answer: dict[str, Any]) -> None:
    """Copy the input that failed, with what was said of it."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size < 1 << 20:
            (kept / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept / path.relative_to(folder))
    (kept / "answer.json").write_text(json.dumps(answer, indent=1))


class _Worker:
    """A forked process, and the two pipes to it."""

    def __init__(self, kind: Kind, examples: Path, scratch: Path, seed: int) -> None:
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            try:
                os.close(self._questions)
                os.close(self._answers)
                reading: BinaryIO = os.fdopen(questions, "rb", buffering=0)
                serve(kind, examples, scratch, seed, reading, os.fdopen(answers, "wb"), limit_mib=LIMIT_MIB)
            finally:
                os._exit(0)
        os.close(questions)
        os.close(answers)
        self._rest = b""

    def ask(self, number: int) -> dict[str, Any]:
        """Have one input tried; `hang` and `crash` are answers, too."""
        os.write(self._questions, f"{number}\n".encode())
        began, waited = time.monotonic(), self._waited()
        while b"\n" not in self._rest:
            if not select.select([self._answers], [], [], 1.0)[0]:
                if time.monotonic() - began - (self._waited() - waited) > LIMIT_SECONDS:
                    return {"outcome": "hang", "detail": f"more than {LIMIT_SECONDS} s"}
                continue
            part = os.read(self._answers, 1 << 16)
            if not part:
                status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
                self.process = 0
                return {"outcome": "crash", "detail": f"the process ended with {status}"}
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _waited(self) -> float:
        """Return the seconds for which the process could have run and others had the processor."""
        return int(Path(f"/proc/{self.process}/schedstat").read_text().split()[1]) / 1e9

    def end(self) -> None:
        """Stop the process, whatever it does."""
        os.close(self._questions)
        os.close(self._answers)
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
