"""Kill a command with SIGKILL at random moments, resume it, and compare what it wrote with an uninterrupted run, byte
by byte.

    python benchmarks/kill_resume.py --work kills --kills 3 --seed 1 --command "trisep prepare videos --out {out}"
    python benchmarks/kill_resume.py --work kills --start-from store --command "trisep embed {out} --encoder lite"
    python benchmarks/kill_resume.py --work kills --command "trisep train RECIPE --data store --out {out}" --ignore \
        "*.jsonl"

`{out}` becomes WORK/straight for the uninterrupted run and WORK/killed for the other. The clock of each kill starts
when the command first changes something in its folder, and the delay is drawn so that the kills spread over the work.
The first kill waits, in addition, for a temporary file, so that at least one falls into the middle of a write; the
temporary files that a kill leaves behind are its proof.
"""

import argparse
import fnmatch
import hashlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

POLL_SECONDS = 0.001
State = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Kill:
    """One kill, as it happened."""

    number: int
    seconds: float
    """Since the command first changed something in its folder."""
    temporary: str
    """Temporary files that it left behind, with their sizes."""


def main() -> int:
    """Run, kill, resume, compare; 0 when all files are the same, 1 when not, 2 when the command cannot be tested."""
    options = parse_options()
    generator = random.Random(options.seed)
    console = Console(width=140)
    straight, killed = options.work / "straight", options.work / "killed"
    for folder in (straight, killed):
        shutil.rmtree(folder, ignore_errors=True)
        if options.start_from is not None:
            shutil.copytree(options.start_from, folder)
    options.work.mkdir(parents=True, exist_ok=True)
    work_seconds = run_straight(options, straight)
    console.print(f"uninterrupted: {work_seconds:.2f} s of work")
    kills = []
    for number in range(1, options.kills + 1):
        delay_seconds = generator.uniform(0.0, 0.8 * work_seconds / options.kills)
        kill = run_and_kill(options, killed, number, delay_seconds, must_be_writing=number == 1)
        if kill is None:
            console.print(f"kill {number}: the command ended before it could be killed; give it more to do")
            return 2
        kills.append(kill)
    command_of(options, killed, resuming=True, wait=True)
    console.print(table_of_kills(kills))
    return compare(straight, killed, options.ignore, console)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", required=True, help="what to run; {out} stands for the folder it writes")
    parser.add_argument("--resume-command", help="what to run after a kill, when it is not the same command")
    parser.add_argument(
        "--work", type=Path, required=True, help="a folder for the two runs; WORK/straight and WORK/killed are replaced"
    )
    parser.add_argument("--start-from", type=Path, help="a folder that both runs start from as a copy")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temporary", default=".trisep-*", help="names of files that are being written")
    parser.add_argument(
        "--ignore", nargs="*", default=[], help="names of files that may differ, such as logs with times in them"
    )
    parser.add_argument(
        "--only-parent", action="store_true", help="kill only the command: its children must end by themselves"
    )
    return parser.parse_args()


def command_of(options: argparse.Namespace, out: Path, *, resuming: bool, wait: bool) -> "subprocess.Popen[bytes]":
    """Start the command in a session of its own; with `wait`, until it ends well."""
    text = options.resume_command if resuming and options.resume_command else options.command
    process = subprocess.Popen(
        shlex.split(text.replace("{out}", shlex.quote(str(out)))), start_new_session=True, stdout=subprocess.DEVNULL
    )
    if wait and process.wait() not in (0, 1):
        sys.exit(f"the command ended with {process.returncode}: {text}")
    return process


def run_straight(options: argparse.Namespace, out: Path) -> float:
    """The uninterrupted run; returns the seconds from its first change to its end."""
    before = state_of(out)
    process = command_of(options, out, resuming=False, wait=False)
    wait_until(process, changed_from(out, before))
    began = time.monotonic()
    if process.wait() not in (0, 1) or state_of(out) == before:
        sys.exit(
            f"the command ended with {process.returncode}{' and wrote nothing' * (state_of(out) == before)}: "
            f"{options.command}"
        )
    return time.monotonic() - began


def run_and_kill(
    options: argparse.Namespace, out: Path, number: int, delay_seconds: float, *, must_be_writing: bool
) -> Kill | None:
    """Start or resume the command and kill it `delay_seconds` into its work; None when it ended before that."""
    before, old = state_of(out), set(temporary_files(out, options.temporary))
    process = command_of(options, out, resuming=number > 1, wait=False)
    wait_until(process, changed_from(out, before))
    began = time.monotonic()
    wait_until(process, lambda: time.monotonic() - began >= delay_seconds)
    if must_be_writing:
        wait_until(process, lambda: bool(set(temporary_files(out, options.temporary)) - old), poll_seconds=0.0)
    if process.poll() is not None:
        return None
    if options.only_parent:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    seconds = time.monotonic() - began
    process.wait()
    left = [
        f"{path.name} ({path.stat().st_size} bytes)"
        for path in temporary_files(out, options.temporary)
        if path not in old
    ]
    return Kill(number, seconds, ", ".join(left) or "none")


def wait_until(
    process: "subprocess.Popen[bytes]", condition: Callable[[], bool], *, poll_seconds: float = POLL_SECONDS
) -> None:
    """Until the condition holds or the process has ended."""
    while process.poll() is None and not condition():
        time.sleep(poll_seconds)


def changed_from(folder: Path, before: State) -> Callable[[], bool]:
    """A condition: something in the folder is not as it was."""
    return lambda: state_of(folder) != before


def state_of(folder: Path) -> State:
    """Size and time of every file; files may go while one looks."""
    state = {}
    for path in files_below(folder):
        try:
            status = path.stat()
        except OSError:
            continue
        state[str(path)] = (status.st_size, status.st_mtime_ns)
    return state


def temporary_files(folder: Path, pattern: str) -> list[Path]:
    """Files that are being written, or were when the command was killed: named by the pattern, or in a
    folder that is.
    """
    return sorted(
        path
        for path in files_below(folder)
        if any(fnmatch.fnmatch(part, pattern) for part in path.relative_to(folder).parts)
    )


def files_below(folder: Path) -> list[Path]:
    """Every file; folders may go while one looks."""
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def table_of_kills(kills: list[Kill]) -> Table:
    """The log."""
    table = Table("kill", "seconds into the work", "left half written", title="kills")
    for kill in kills:
        table.add_row(str(kill.number), f"{kill.seconds:.3f}", kill.temporary)
    return table


def compare(straight: Path, killed: Path, ignore: list[str], console: Console) -> int:
    """Compare every file by SHA-256, and every tensor of every safetensors file by its own."""
    names = [
        {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not ignored(path, ignore)
        }
        for folder in (straight, killed)
    ]
    different = sorted(names[0] ^ names[1])
    different += [name for name in sorted(names[0] & names[1]) if sha256(straight / name) != sha256(killed / name)]
    tensors = [tensor_hashes(folder, sorted(found)) for folder, found in zip((straight, killed), names, strict=True)]
    summary = hashlib.sha256(repr(sorted(tensors[0].items())).encode()).hexdigest()
    same_tensors = tensors[0] == tensors[1]
    console.print(
        f"files: {len(names[0])} and {len(names[1])}, {len(different)} different {different[:5] if different else ''}"
    )
    console.print(
        f"tensors: {len(tensors[0])} and {len(tensors[1])}, {'all equal' if same_tensors else 'DIFFERENT'}, SHA-256 "
        f"over all {summary[:16]}"
    )
    return 0 if not different and same_tensors else 1


def ignored(path: Path, patterns: list[str]) -> bool:
    """Whether a file may differ."""
    return any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tensor_hashes(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of each tensor by file and name."""
    hashes = {}
    for name in names:
        if name.endswith(".safetensors"):
            for key, tensor in load_file(folder / name).items():
                hashes[f"{name}:{key}"] = hashlib.sha256(
                    repr((tensor.dtype, tensor.shape)).encode() + tensor.tobytes()
                ).hexdigest()
    return hashes


if __name__ == "__main__":
    sys.exit(main())
