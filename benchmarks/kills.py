"""Every verb that writes is killed at random moments, run out of disk and run twice at once; then it is run again, and
what it wrote is compared, byte by byte, with what an undisturbed run writes.

    python benchmarks/kills.py --kills 4                      all verbs, with made-up inputs
    python benchmarks/kills.py --kills 20 --verb prepare train --signal KILL

A run is a process that is forked from one that has imported everything, and that ends as the command would. Half of the
signals come at a moment drawn evenly from the time of an undisturbed run, half shortly after a temporary file appears.
A file is compared unless two undisturbed runs differ in it (logs with times). Reported for each verb:

    half          a file under its final name, after a disturbance, that is neither the old nor the new one
    differences   files that differ, after the command was run again to its end, from the undisturbed run's
    leftovers     temporary files that are there after that
    bad ends      exit codes or messages other than documented: 0, 1, 2 with one line, 128 + signal
"""

import argparse
import hashlib
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from trisep.checkpoints.format import load_model, save_model
from trisep.cli import main as command
from trisep.errors import CheckpointError
from trisep.evaluation.journal import COLUMNS
from trisep.media.audio_writer import write_audio
from trisep.media.video_writer import write_video
from trisep.metrics import Scores
from trisep.models.clipsep import Config
from trisep.store.embed import embed
from trisep.store.prepare import PrepareSettings, prepare
from trisep.types import Audio, SignalSettings

LIMIT_SECONDS = 120
SETS = "training.num_steps=4 training.batch_size=2 training.checkpoint_steps=1 training.validation_steps=2"
SMALL = "training.num_validation_mixtures=2 model.unet.base_width=4 model.unet.max_width=8 signal.clip_samples=32767"
COMMANDS = {
    "separate": "separate videos/0.mp4 dog trumpet --out out --remove --into-video",
    "separate flac": "separate videos/0.mp4 dog --out out --format flac",
    "separate batch": "separate videos dog --out out --format opus",
    "localize": "localize videos/0.mp4 dog --out out/heat.mp4 --fps 2 --arrays",
    "prepare": "prepare videos --out out --workers 1 --fps 2",
    "embed": "embed out --encoder lite --captions --tokens 1",
    "train": f"train hfra-avmini --data store --out out --device cpu --workers 0 "
    f"{' '.join(f'--set {word}' for word in (SETS + ' ' + SMALL).split())}",
    "data status": "data status folder --media videos --out out --workers 1",
    "evaluate": "evaluate --data clips --protocol avmini --baseline random-mask --limit 3 --workers 1 --out out",
    "compare": "compare a.csv b.csv --out out",
    "listening-test": "listening-test build --samples samples.csv --out out",
    "tag": "tag videos/0.mp4 --picture out/heard.png",
    "export": "export model --out out",
    "import": "import published.pth --as clipsep --encoder lite --out out",
}
"""The verbs; each writes `out`, in a folder that holds the inputs. `embed` starts from a copy of the store."""
START_FROM = {"embed": "store"}
REFUSE_AGAIN = ("listening-test", "tag")
"""Verbs that refuse in one line to run again where they have ended well: a test keeps its key, a picture its place."""
USED = (
    *("separation.batch", "separation.separator", "separation.localize", "training.loop", "evaluation.run"),
    *("evaluation.compare", "listening.build", "datasets.availability", "checkpoints.published", "encoders.lite"),
    *("separation.tagging", "figures.tags", "checkpoints.onnx"),
)
"""Modules that the verbs import, so that a forked run begins with its work."""


def main() -> int:
    """Run the campaign; 0 when nothing was wrong."""
    options = parse_options()
    torch.set_num_threads(1)
    for name in USED:
        importlib.import_module(f"trisep.{name}")
    console = Console(width=150)
    generator = random.Random(options.seed)
    rows = []
    with tempfile.TemporaryDirectory(prefix="trisep-kills-") as scratch:
        inputs = Path(scratch) / "inputs"
        write_inputs(inputs)
        for verb in options.verb or COMMANDS:
            console.print(f"{time.strftime('%T')} {verb}", highlight=False)
            campaign = Campaign(verb, inputs, Path(scratch) / verb.replace(" ", "-"), generator, console)
            rows.append((verb, campaign.run(options)))
            console.print(table_of(rows[-1:], options.seed))
    if len(rows) > 1:
        console.print(table_of(rows, options.seed))
    return int(any(counts[name] for _, counts in rows for name in ("half", "differences", "leftovers", "bad ends")))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verb", nargs="*", choices=list(COMMANDS), help="default: all")
    parser.add_argument("--kills", type=int, default=3, help="signals for each verb")
    parser.add_argument("--full", type=int, default=1, help="full disks for each verb")
    parser.add_argument("--pairs", type=int, default=1, help="how often two run at once, for each verb")
    parser.add_argument("--signal", nargs="*", default=["KILL", "TERM", "INT"])
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


class Campaign:
    """The disturbances of one verb."""

    def __init__(self, verb: str, inputs: Path, work: Path, generator: random.Random, console: Console) -> None:
        self.words = COMMANDS[verb].split()
        self.verb, self.inputs, self.work, self.generator, self.console = verb, inputs, work, generator, console
        self.counts: Counter[str] = Counter()

    def run(self, options: argparse.Namespace) -> Counter[str]:
        """Disturb the verb in every way; return what was counted."""
        self.straight, self.seconds = self._undisturbed()
        again, _ = self._undisturbed()
        self.unsteady = {
            name for name in self.straight.keys() | again.keys() if self.straight.get(name) != again.get(name)
        }
        self.unsteady = {name for name in self.unsteady if not name.rpartition("/")[2].startswith(".trisep-")}
        for number in range(options.kills):
            self._kill(getattr(signal, f"SIG{options.signal[number % len(options.signal)]}"))
        for _ in range(options.full):
            self._fill()
        for _ in range(options.pairs):
            self._twice()
        return self.counts

    def _fresh(self) -> Path:
        """Make a folder with the inputs in it, and nothing written."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.inputs, self.work)
        if self.verb in START_FROM:
            shutil.copytree(self.work / START_FROM[self.verb], self.work / "out")
        elif self.verb in ("localize", "tag"):
            (self.work / "out").mkdir()
        self.before = files_of(self.work / "out")
        return self.work

    def _undisturbed(self) -> tuple[dict[str, str], float]:
        """Run to the end; return the hashes of what was written, and the seconds."""
        self._fresh()
        began = time.monotonic()
        code, said = self._start().wait()
        if code not in (0, 1):
            sys.exit(f"{self.verb}: ended with {code}: {said}")
        return files_of(self.work / "out"), time.monotonic() - began

    def _start(self, largest_bytes: int | None = None) -> "Run":
        return Run(self.words, self.work, largest_bytes)

    def _kill(self, number: signal.Signals) -> None:
        """Send a signal at a random moment, and finish."""
        self._fresh()
        run = self._start()
        until = time.monotonic() + self.generator.uniform(0.0, self.seconds)
        if self.generator.random() < 0.5:
            while run.is_running() and not has_temporary(self.work / "out"):
                time.sleep(0.0005)
            until = time.monotonic() + self.generator.uniform(0.0, 0.02)
        while run.is_running() and time.monotonic() < until:
            time.sleep(0.0005)
        ended_before = not run.is_running()
        run.kill(number)
        code, said = run.wait()
        self.counts["too late" if ended_before else number.name] += 1
        if not ended_before and number is not signal.SIGKILL and code not in (128 + number, 0, 1):
            self._bad(f"{number.name}: ended with {code}: {said}")
        if number is not signal.SIGKILL and has_temporary(self.work / "out"):
            self.counts["leftovers"] += 1
            self.console.print(f"{self.verb}: {number.name} left {temporaries(self.work / 'out')}")
        self._finish(number.name)

    def _fill(self) -> None:
        """Let no file grow beyond a random size, and finish without the limit."""
        self._fresh()
        largest = max([path.stat().st_size for path in self._written_sizes()] or [1])
        self._fresh()
        code, said = self._start(self.generator.randrange(largest)).wait()
        self.counts["full"] += 1
        if code not in (0, 1, 2) or (code == 2 and said.count("trisep: error:") != 1):
            self._bad(f"full disk: ended with {code}: {said}")
        if has_temporary(self.work / "out"):
            self.counts["leftovers"] += 1
            self.console.print(f"{self.verb}: a full disk left {temporaries(self.work / 'out')}")
        self._finish("full disk")

    def _written_sizes(self) -> list[Path]:
        self._start().wait()
        return [path for path in (self.work / "out").rglob("*") if path.is_file()]

    def _twice(self) -> None:
        """Run two at once; each ends well or in one line, one of them well, and with the right files."""
        self._fresh()
        ends = [run.wait() for run in (self._start(), self._start())]
        if not any(code in (0, 1) for code, _ in ends):
            self._bad(f"two at once: both were refused: {ends}")
        elif different := self._different():
            self.counts["differences"] += 1
            self.console.print(f"{self.verb}: two at once: different {different[:4]}")
        for code, said in ends:
            if code not in (0, 1, 2) or (code == 2 and said.count("trisep: error:") != 1):
                self._bad(f"two at once: ended with {code}: {said}")
        self.counts["pairs"] += 1
        self._finish("two at once")

    def _finish(self, what: str) -> None:
        """Look at what is there, run the command again to its end, and compare."""
        for name, content in files_of(self.work / "out").items():
            known = {self.straight.get(name), self.before.get(name)}
            # The report of a batch is written also of what was done before the end.
            if content in known or name not in self.straight or name in self.unsteady or name == "batch.json":
                continue
            if not is_whole_checkpoint((self.work / "out" / name).parent):
                self.counts["half"] += 1
                self.console.print(f"{self.verb}: {what}: {name} is neither old nor new")
        is_whole = files_of(self.work / "out").keys() >= self.straight.keys()
        code, said = self._start().wait()
        if code not in (0, 1) and not (code == 2 and is_whole and self.verb in REFUSE_AGAIN):
            self._bad(f"again after {what}: ended with {code}: {said}")
        left = temporaries(self.work / "out")
        different = self._different()
        self.counts["differences"] += bool(different)
        self.counts["leftovers"] += bool(left)
        if different or left:
            self.console.print(f"{self.verb}: again after {what}: different {different[:4]}, left {left[:4]}")

    def _different(self) -> list[str]:
        """Return the files that differ from the undisturbed run's."""
        found = files_of(self.work / "out")
        return [
            name
            for name in sorted(found.keys() | self.straight.keys())
            if found.get(name) != self.straight.get(name) and name not in self.unsteady and not is_temporary(name)
        ]

    def _bad(self, text: str) -> None:
        self.counts["bad ends"] += 1
        self.console.print(f"{self.verb}: {text[:300]}", markup=False)


class Run:
    """One command in a process of its own."""

    def __init__(self, words: list[str], folder: Path, largest_bytes: int | None) -> None:
        self._said = Path(tempfile.mkstemp(prefix="said-", dir=folder.parent)[1])
        self.process = os.fork()
        if self.process == 0:
            self._become(words, folder, largest_bytes)
        self._code: int | None = None

    def _become(self, words: list[str], folder: Path, largest_bytes: int | None) -> None:
        """Run the command in this process, and end it."""
        code = 99
        try:
            os.setsid()
            os.chdir(folder)
            os.dup2(os.open(self._said, os.O_WRONLY), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if largest_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, largest_bytes))
            code = command(words)
            sys.stderr.flush()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}"[:500].encode())
        finally:
            os._exit(code)

    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        if self._code is None:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code is None

    def kill(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL to all processes of the command, others to the first, as a shell does."""
        if self.is_running():
            (os.killpg if number is signal.SIGKILL else os.kill)(self.process, number)

    def wait(self) -> tuple[int, str]:
        """Return the exit code and what was said on stderr; a run that hangs is killed, and counts as -9."""
        end = time.monotonic() + LIMIT_SECONDS
        while self.is_running():
            if time.monotonic() > end:
                os.killpg(self.process, signal.SIGKILL)
            time.sleep(0.002)
        text = self._said.read_text(errors="replace") if self._said.exists() else ""
        self._said.unlink(missing_ok=True)
        assert self._code is not None
        return self._code, text


def files_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder; temporary ones left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not is_temporary(name) and not is_log(name):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def temporaries(folder: Path) -> list[str]:
    """Return the names of temporary files and folders."""
    names = [
        Path(parent, name).relative_to(folder).as_posix()
        for parent, below, files in os.walk(folder)
        for name in (*below, *files)
    ]
    return [name for name in names if is_temporary(name)]


def has_temporary(folder: Path) -> bool:
    """Return whether something is being written, or was."""
    return bool(temporaries(folder))


def is_whole_checkpoint(folder: Path) -> bool:
    """Return whether a folder is a checkpoint that can be loaded: of an earlier step, it is neither old nor new."""
    try:
        load_model(folder)
    except CheckpointError:
        return False
    return True


def is_log(name: str) -> bool:
    """Return whether a file is appended to by every run: what runs note for the next one, and TensorBoard's events."""
    return name == "checks.jsonl" or "events.out.tfevents" in name


def is_temporary(name: str) -> bool:
    """Return whether a path is, or lies below, something half written."""
    return any(part.startswith(".trisep-") for part in Path(name).parts)


def write_inputs(folder: Path) -> None:
    """Write videos, a store, clips for a protocol, score tables and a published checkpoint; everything is made up."""
    generator = np.random.default_rng(1)
    for number in range(4):
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        sound = Audio((generator.standard_normal((1, 32000)) * 0.1).astype(np.float32), 16000)
        pictures = [np.full((48, 64, 3), 60 * number + step, np.uint8) for step in range(10)]
        write_video(folder / "videos" / f"{number}.mp4", pictures, fps=5.0, audio=sound)
    prepare(folder / "videos", folder / "store", PrepareSettings(files_per_shard=2, short_side=32, num_workers=1))
    embed(folder / "store", "lite")
    rows = ["path,split,label"]
    (folder / "clips").mkdir()
    for number in range(4):
        sound = Audio((generator.standard_normal((1, 96000)) * 0.1).astype(np.float32), 16000)
        write_audio(folder / "clips" / f"{number}.wav", sound, subtype="wav_float32")
        rows.append(f"{number}.wav,dev,{'dog' if number % 2 else 'trumpet'}")
    (folder / "clips" / "manifest.csv").write_text("\n".join(rows) + "\n")
    lines = [
        "model,query_kind,file,label_a,label_b",
        "m,text,clips/0.wav,dog,trumpet",
        "m,image,clips/1.wav,trumpet,dog",
    ]
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    for name in ("a", "b"):
        (folder / f"{name}.csv").write_text(score_table(generator))
    published_checkpoint(folder / "published.pth")
    card = {"signal": asdict(SignalSettings()), "encoder": "lite", "encoder_fingerprint": "0", "recipe": {"name": "m"}}
    save_model(folder / "model", Config.tiny().build(), model_name="clipsep", card=card)


def score_table(generator: np.random.Generator) -> str:
    """Return a table as `evaluate` writes it, with random scores."""
    numbers = {field.name for field in fields(Scores)}
    rows = [",".join(COLUMNS)]
    for mixture in range(12):
        for source in (0, 1):
            known = {"system": "m", "label": "dog", "skipped": "", "mixture": str(mixture), "source": str(source)}
            cells = [f"{generator.normal():.4f}" if name in numbers else known.get(name, "x") for name in COLUMNS]
            rows.append(",".join(cells))
    return "\n".join(rows) + "\n"


def published_checkpoint(path: Path) -> None:
    """Write a CLIPSep of random weights under the names of its authors."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from published_clipsep import PublishedCLIPSep  # type: ignore[import-not-found]

    torch.save(PublishedCLIPSep(embedding_dim=384).state_dict(), path)


def table_of(rows: list[tuple[str, Counter[str]]], seed: int) -> Table:
    """One row a verb."""
    table = Table(title=f"disturbed runs, seed {seed}")
    names = (
        "SIGKILL",
        "SIGTERM",
        "SIGINT",
        "too late",
        "full",
        "pairs",
        "half",
        "differences",
        "leftovers",
        "bad ends",
    )
    for column in ("verb", *names):
        table.add_column(column, justify="left" if column == "verb" else "right")
    for verb, counts in rows:
        table.add_row(verb, *(str(counts[name]) for name in names))
    if len(rows) > 1:
        table.add_row("all", *(str(sum(counts[name] for _, counts in rows)) for name in names))
    return table


if __name__ == "__main__":
    sys.exit(main())
