"""Prints the structure of the package as the imports and three real runs show it.

    python scripts/structure.py            folders, loose files, arrows between folders, import cycles
    python scripts/structure.py --flows    also the files whose code runs in `separate`, in training and in one mixture
                                           of `evaluate` (with the bundled sample and made-up clips; takes a minute)

A file counts as part of a flow when one of its functions is called on the way: what a reader opens to follow it.
"""

import argparse
import ast
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "trisep"
_IS_FUNCTION = 0x1  # CO_OPTIMIZED: the code of a function, not of the body of a module or class


def part_of(path: Path) -> str:
    """The folder of the package that a file belongs to, or the name of a file at its root."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def arrows() -> set[tuple[str, str]]:
    """(importing part, imported part), wherever in a file the import stands."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"trisep.{alias.name}" for alias in node.names] if node.module == "trisep" else [node.module]
            found |= {(part_of(path), name.split(".")[1]) for name in names if name.startswith("trisep.")}
    return {(here, there) for here, there in found if here != there}


def cycles(graph: set[tuple[str, str]]) -> list[str]:
    """The parts that import each other in a circle."""
    remaining = {part for arrow in graph for part in arrow}
    while free := {part for part in remaining if not any(a == part and b in remaining for a, b in graph)}:
        remaining -= free
    return sorted(remaining)


def files_called(run: Callable[[], object]) -> list[str]:
    """The files of the package with a function that `run` calls, in the order of their first call."""
    seen: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        code, place = frame.f_code, frame.f_code.co_filename
        is_function = code.co_flags & _IS_FUNCTION and not code.co_name.startswith("<")
        if event == "call" and is_function and place.startswith(str(SOURCE)):
            seen.setdefault(str(Path(place).relative_to(SOURCE)))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(seen)


def separate(folder: Path) -> list[str]:
    """`trisep separate CLIP trumpet`, from the command line to written files."""
    from trisep.cli import main

    sample = ROOT / "examples" / "dog_and_trumpet.mp4"
    return files_called(lambda: main(["separate", str(sample), "trumpet", "--out", str(folder / "stems")]))


def train(folder: Path) -> list[str]:
    """A step of training, from the store to `backward`."""
    import torch
    from accelerate import Accelerator

    from trisep.recipes import recipe
    from trisep.store.read import ClipStore
    from trisep.training import loop
    from trisep.training.data import MixtureDataset, batches

    tiny = recipe("hfra-avmini").tiny()
    data = MixtureDataset(ClipStore(folder / "store"), tiny, seed=1)
    accelerator = Accelerator(cpu=True)
    network = tiny.model.build()
    model, optimizer = accelerator.prepare(network, torch.optim.Adam(network.parameters()))

    def step() -> None:
        """Read, mix, separate, compare, propagate."""
        for batch in batches(data, first_step=0, last_step=1):
            loop._train_step(accelerator, model, optimizer, batch, data, 0)

    return files_called(step)


def evaluate(folder: Path) -> list[str]:
    """One mixture of `evaluate`, from the call to the table."""
    from trisep.evaluation import run

    run.ProcessPoolExecutor = ThisProcess  # type: ignore[assignment, misc]
    return files_called(
        lambda: run.evaluate("default", data=folder / "clips", limit=1, out=folder / "scores", num_workers=1)
    )


class ThisProcess:
    """Takes the place of a pool of processes, whose calls could not be seen."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take the arguments of a pool."""

    def __enter__(self) -> "ThisProcess":
        """Nothing has to be started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to be ended."""

    def shutdown(self, **_: object) -> None:
        """Nothing has to be ended."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call at once."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def prepare_inputs(folder: Path) -> None:
    """Three clips of two labels with a picture, their list, and a store of them that `lite` embedded."""
    import csv
    import shutil

    from trisep.store.embed import embed
    from trisep.store.prepare import PrepareSettings, prepare

    (folder / "clips").mkdir()
    rows = [("path", "split", "label")]
    for number, label in enumerate(("dog", "trumpet", "dog")):
        shutil.copyfile(ROOT / "examples" / "dog_and_trumpet.mp4", folder / "clips" / f"{number}.mp4")
        with (folder / "clips" / f"{number}.mp4").open("ab") as file:
            file.write(bytes([0, 0, 0, 8]) + b"free" * (number > 0))  # so that no two are duplicates
        rows.append((f"{number}.mp4", "dev", label))
    with (folder / "clips" / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    prepare(folder / "clips", folder / "store", PrepareSettings(num_workers=1, frames_per_second=0.2))
    embed(folder / "store", "lite", regions=False)


def main() -> int:
    """Print it; returns 1 where there is a circle of imports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", action="store_true", help="also trace the three flows")
    arguments = parser.parse_args()
    graph, parts = arrows(), sorted(path for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__")
    loose = sorted(path.name for path in SOURCE.glob("*.py"))
    for folder in parts:
        files = sorted(folder.rglob("*.py"))
        num_lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
        imported = ", ".join(sorted(there for here, there in graph if here == folder.name))
        print(f"{folder.name + '/':16s}{len(files):3d} files {num_lines:5d} lines   imports {imported}")
    circle = cycles(graph)
    print(f"\n{len(loose)} loose files at the root: {', '.join(loose)}")
    print(f"{len(graph)} arrows between parts, {len(circle)} parts in import cycles {' '.join(circle)}".rstrip())
    if arguments.flows:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            prepare_inputs(folder)
            for flow in (separate, train, evaluate):
                files = flow(folder)
                print(f"\n{flow.__name__}: {len(files)} files\n    " + "\n    ".join(files))
    return int(bool(circle))


if __name__ == "__main__":
    sys.exit(main())
