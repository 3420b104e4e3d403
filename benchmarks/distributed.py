"""Train with one process and with two for the same batches: are the loss curves the same? And does a run go on with
another number?

    OMP_NUM_THREADS=1 python benchmarks/distributed.py --data STORE --out RUNS --steps 20

Six runs of a small `clipsep-avmini` in single precision on the CPU, and a table of their losses, means of ten steps:

    one           one process
    two           two processes (torchrun, gloo), half of each batch each
    micro         one process, two micro-batches: what `two` must equal, batch normalisation seeing the same halves
    resumed       `one` up to the half, then two processes
    one frozen    one process, batch normalisation fixed to its starting statistics, so that nothing depends on how a
                  batch is cut
    two frozen    two processes of that: what `one frozen` must equal
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trisep.recipes import override, recipe

_WORDS = ("model.unet.base_width=8", "model.unet.max_width=32", "training.batch_size=8", "training.precision=fp32")
_TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "-m")


def main() -> int:
    """Run, then print the table of losses and the largest relative differences."""
    options = parse_options()
    steps = options.steps
    plain = [
        *_WORDS,
        f"training.num_steps={steps}",
        f"training.checkpoint_steps={steps // 2}",
        f"training.validation_steps={steps}",
    ]
    plain += ["training.num_validation_mixtures=2", "optimizer.warmup_steps=0"]
    frozen = [*plain, f"training.frozen={batch_norms(plain)}"]
    curves = {
        "one": run(options, "one", plain, num_processes=1),
        "two": run(options, "two", plain, num_processes=2),
        "micro": run(options, "micro", [*plain, "training.accumulation_steps=2"], num_processes=1),
        "resumed": resume(options, plain),
        "one frozen": run(options, "one_frozen", frozen, num_processes=1),
        "two frozen": run(options, "two_frozen", frozen, num_processes=2),
    }
    table = Table("steps", *curves)
    for step in curves["one"]:
        table.add_row(f"to {step}", *(f"{curve[step]:.7f}" for curve in curves.values()))
    console = Console(width=140)
    console.print(table)
    for a, b in (("two", "micro"), ("two frozen", "one frozen"), ("two", "one"), ("resumed", "one")):
        difference = max(abs(curves[a][step] - curves[b][step]) / curves[b][step] for step in curves[b])
        console.print(f"{a} against {b}: the losses differ by at most {difference:.1e} of them")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="clip store with embeddings by lite")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the runs; those of an earlier call are removed"
    )
    parser.add_argument("--steps", type=int, default=20, help="an even multiple of ten")
    return parser.parse_args()


def batch_norms(words: list[str]) -> str:
    """The batch normalisation layers of the network, as a setting."""
    import torch

    network = override(recipe("clipsep-avmini"), tuple(words)).model.build()
    return ",".join(name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d))


def run(
    options: argparse.Namespace, name: str, words: list[str], *, num_processes: int, keep: bool = False
) -> dict[int, float]:
    """Train, and read the losses from the log, by step."""
    out = options.out / name
    if not keep:
        shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", *(_TORCHRUN if num_processes > 1 else ()), "trisep.cli", "train", "clipsep-avmini"]
    command += ["--data", str(options.data), "--out", str(out), "--device", "cpu", "--workers", "0"]
    command += [word for setting in words for word in ("--set", setting)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {entry["step"]: entry["loss"] for entry in entries if "loss" in entry}


def resume(options: argparse.Namespace, words: list[str]) -> dict[int, float]:
    """Go on with two processes from the state that one process left at the half."""
    out = options.out / "resumed"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(options.out / "one", out)
    shutil.rmtree(out / "states" / f"step-{options.steps:07d}")
    return run(options, "resumed", words, num_processes=2, keep=True)


if __name__ == "__main__":
    sys.exit(main())
