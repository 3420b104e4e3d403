"""What works without any extra, and how each verb that needs one says so."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from trisep.encoders import load_encoder, load_teacher
from trisep.errors import EXTRAS, MissingExtraError, needs_extra

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "dog_and_trumpet.mp4"
PROGRAM = """
import contextlib, importlib.machinery, io, json, sys

class Absent(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)

absent, commands = json.loads(sys.argv[1])
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Absent
from trisep.cli import main
for command in commands:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
"""Runs command lines in a process that cannot import some modules; prints exit code, stdout and stderr of each."""
NEED = {
    "train hfra-avmini --data x --out y": ("trisep train", "train"),
    "prepare in --out store": ("trisep prepare", "train"),
    "compare a b": ("trisep compare", "figures"),
    "tag sample.mp4 --picture p.png": ("trisep tag", "figures"),
    "analyze gap default --data x --out y": ("trisep analyze gap", "analysis"),
    "web": ("trisep web", "web"),
    "export default --out e": ("trisep export", "onnx"),
    "push default hf:a/b": ("trisep push", "hub"),
    "separate sample.mp4 dog --model hf:a/b": ("hf:a/b", "hub"),
    "separate in dog --cluster local": ("--cluster", "cluster"),
}
"""What is said to need which extra."""
WORK = ("separate sample.mp4 dog --out s", "localize sample.mp4 dog trumpet --out h.mp4", "tag sample.mp4")


def run_without(absent: set[str], commands: list[str], folder: Path) -> list[tuple[int, str, str]]:
    """Run command lines where some modules are absent."""
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "TRISEP_HUB": ""}
    argument = json.dumps([sorted(absent), [command.split() for command in commands]])
    command = [sys.executable, "-c", PROGRAM, argument]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sample.mp4").symlink_to(SAMPLE)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").symlink_to(SAMPLE)
    return tmp_path


def modules_of_extras() -> set[str]:
    """All modules of all packages that any extra names, whatever else brings them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {Requirement(need).name for need in project["dependencies"]}
    extras = {Requirement(need).name for needs in project["optional-dependencies"].values() for need in needs}
    brought = {name.replace("_", "-").lower() for name in extras - base - {"trisep"}}
    found = packages_distributions()
    return {module for module, names in found.items() if {n.replace("_", "-").lower() for n in names} <= brought} | {
        module for modules in EXTRAS.values() for module in modules
    }


@pytest.mark.slow
def test_the_base_separates_localises_tags_and_tells(folder: Path) -> None:
    absent = modules_of_extras() | {"sentence_transformers"}
    assert {"pyarrow", "matplotlib", "transformers", "huggingface_hub", "pytest"} <= absent
    *worked, models, info, doctor = run_without(absent, [*WORK, "models", "info default", "doctor"], folder)
    for command, (code, out, err) in zip(WORK, worked, strict=True):
        assert (code, err) == (0, ""), command
        assert out, command
    assert models[0] == info[0] == doctor[0] == 0, doctor[1]
    assert "none (not installed: analysis, cluster, figures, hub, onnx, remote, teachers, train, web)" in doctor[1]
    assert (folder / "s" / "dog.wav").is_file() and (folder / "h.mp4").is_file()


@pytest.mark.slow
def test_what_needs_an_extra_names_it_on_one_line(folder: Path) -> None:
    absent = {module for modules in EXTRAS.values() for module in modules}
    for (command, (what, extra)), (code, out, err) in zip(
        NEED.items(), run_without(absent, list(NEED), folder), strict=True
    ):
        assert (code, out) == (2, ""), command
        assert err.startswith(f"trisep: error: {what} needs "), (command, err)
        assert err.endswith(f", which is not installed; run: pip install 'trisep[{extra}]'\n"), (command, err)
        assert err.count("\n") == 1


@pytest.mark.parametrize(("load", "what"), [(load_teacher, "the teacher clap"), (load_encoder, "the encoder bert")])
def test_teachers_and_encoders_of_an_extra_name_it(load: Any, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = what.split()[-1]
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, f"trisep.encoders.{name}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"^{what} needs transformers, .*'trisep\[teachers\]'$"):
        load.__wrapped__(name)


def test_an_extra_may_be_that_of_the_whole() -> None:
    with pytest.raises(MissingExtraError, match=r"^it needs matplotlib, .*'trisep\[figures\]'$"), needs_extra("it"):
        raise ModuleNotFoundError(name="matplotlib")
    with pytest.raises(MissingExtraError, match=r"trisep\[train\]"), needs_extra("it", "train"):
        raise ModuleNotFoundError(name="matplotlib")
    for mistake in ("trisep.absent", "matplotlib.absent"):
        with pytest.raises(ModuleNotFoundError), needs_extra("it", "train"):
            raise ModuleNotFoundError(name=mistake)


def test_the_small_installation_is_the_base_and_what_it_imports() -> None:
    pinned = [line.strip().split("==") for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    tested = dict(
        line.strip().split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    assert pinned == [[name, tested[name]] for name, _ in pinned]
    waiting = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    left_out = {"sentence-transformers", "huggingface-hub"}
    needed: set[str] = set()
    while waiting:
        need = Requirement(waiting.pop())
        name = need.name.replace("_", "-").lower()
        if name not in needed | left_out and (need.marker is None or need.marker.evaluate({"extra": ""})):
            needed.add(name)
            waiting += requires(name) or ()
    plain = {name for name in needed if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert {name for name, _ in pinned} - {"setuptools"} == plain - {"setuptools"}
