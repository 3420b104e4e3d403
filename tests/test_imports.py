"""The rules of the house that a machine can check: which way imports point, what must not exist, how
long things are.
"""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "trisep"

BASE = {"errors", "types"}
SIGNAL = BASE | {"media", "spectrogram"}
FROZEN = SIGNAL | {"encoders", "pretrained"}
LEARNED = FROZEN | {"networks", "models"}
MEASURES = {"metrics", "baselines", "figures"}
CONTENT = LEARNED | {"checkpoints", "queries"}
DATA = CONTENT | {"store", "datasets", "mixing", "losses", "recipes"}

# What each folder of the package, and each file at its root, may import besides itself.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors"},
    "terminal": BASE,
    "media": BASE,
    "spectrogram": BASE,
    "pretrained": BASE | {"media"},
    "encoders": SIGNAL | {"pretrained"},
    "networks": BASE,
    "models": FROZEN | {"networks"},
    "checkpoints": LEARNED,
    "queries": LEARNED | {"checkpoints"},
    "metrics": BASE,
    "baselines": SIGNAL,
    "figures": SIGNAL,
    "separation": CONTENT | MEASURES,
    "doctor": CONTENT | {"separation"},
    "store": CONTENT,
    "datasets": SIGNAL | {"store"},
    "protocols": FROZEN | {"datasets"},
    "mixing": BASE,
    "losses": SIGNAL,
    "recipes": LEARNED | {"mixing", "losses"},
    "training": DATA | MEASURES | {"separation"},
    "evaluation": CONTENT | MEASURES | {"separation", "protocols", "store"},
    "analyses": DATA | MEASURES | {"separation", "protocols", "evaluation", "training"},
    "listening": CONTENT | MEASURES | {"separation", "protocols", "evaluation"},
    "web": CONTENT | MEASURES | {"separation"},
}
ALLOWED["commands"] = set(ALLOWED)
ALLOWED["cli"] = {"errors", "commands", "terminal"}
ALLOWED["__init__"] = BASE | {"separation"}
ROOT_FILES = {"__init__", "errors", "types", "cli"}
FORBIDDEN_MODULES = {
    "torchvision", "torchaudio", "torchcodec", "timm", "open_clip", "pickle", "cPickle", "dill", "cloudpickle"
}  # fmt: skip
FORBIDDEN_FILES = {"utils.py", "util.py", "common.py", "helpers.py", "helper.py", "misc.py"}
MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 400


def source_files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(SOURCE.rglob("*.py"))


def module_name(path: Path, source: Path = SOURCE) -> tuple[str, ...]:
    """The dotted name of a file inside the package, as a tuple: ("media", "audio")."""
    parts = path.relative_to(source).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


def imported_modules(tree: ast.Module, package: tuple[str, ...]) -> list[tuple[str, int]]:
    """Absolute names of everything imported anywhere in a file, with the line; `from trisep import x` counts as
    trisep.x.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(("trisep", *package[: len(package) - node.level + 1], *([base] if base else [])))
            found += [(f"{base}.{alias.name}" if base == "trisep" else base, node.lineno) for alias in node.names]
    return found


def public_definitions(tree: ast.Module | ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Functions, classes and methods that others can reach; what is defined inside a function is not."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    return public + [inner for node in public if isinstance(node, ast.ClassDef) for inner in public_definitions(node)]


def imported_parts(path: Path, source: Path = SOURCE) -> list[tuple[str, str, int]]:
    """(imported module, part of the package that it belongs to or "", line) of every import in a file."""
    name = module_name(path, source)
    package = name if path.name == "__init__.py" and name != ("__init__",) else name[:-1]
    modules = dict.fromkeys(imported_modules(ast.parse(path.read_text(encoding="utf-8")), package))
    return [(module, module.split(".")[1] if module.startswith("trisep.") else "", line) for module, line in modules]


def broken_rules(path: Path, source: Path = SOURCE) -> list[str]:
    """Sentences about each import in a file that the rules do not allow."""
    own, shown = module_name(path, source)[0], path.relative_to(source)
    if own not in ALLOWED:
        return [f"{own} is not in ALLOWED of {Path(__file__).name}: enter what it may import"]
    broken = []
    for module, part, line in imported_parts(path, source):
        if module.partition(".")[0] in FORBIDDEN_MODULES:
            broken.append(f"{shown}:{line} imports the forbidden {module}")
        if part and part not in ALLOWED[own] | {own}:
            broken.append(f"{shown}:{line} imports {module}, which points the wrong way")
    return broken


def levels(graph: dict[str, set[str]]) -> list[set[str]]:
    """The parts of a graph of imports in layers, each importing only from those before; AssertionError where there is a
    circle.
    """
    layers: list[set[str]] = []
    while remaining := graph.keys() - set().union(*layers):
        free = {part for part in remaining if graph[part] - {part} <= set().union(*layers)}
        assert free, f"these import each other in a circle: {sorted(remaining)}"
        layers.append(free)
    return layers


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    assert broken_rules(path) == []


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("models/clipsep.py", "from trisep.losses.masks import weighted_bce", True),
        ("models/clipsep.py", "from trisep import mixing", True),
        ("models/clipsep.py", "from ..store import read", True),
        ("models/clipsep.py", "from .. import datasets", True),
        ("models/clipsep.py", "from trisep.networks.fusion import LateFusion", False),
        ("models/clipsep.py", "from . import sound_of_pixels", False),
        ("media/audio.py", "def decode():\n    import trisep.spectrogram.stft", True),
        ("training/loop.py", "from trisep.losses.masks import weighted_bce", False),
        ("training/loop.py", "from trisep import cli", True),
        ("training/loop.py", "from trisep.commands import train", True),
        ("separation/infer.py", "from trisep.training.data import batches", True),
        ("store/read.py", "import pickle", True),
        ("encoders/clip.py", "from timm.models import create_model", True),
        ("novelty.py", "import numpy", True),
        ("__init__.py", "from trisep.separation.separator import Separator", False),
        ("__init__.py", "from trisep import cli", True),
    ],
)
def test_the_rules_catch_what_they_should(tmp_path: Path, file: str, line: str, broken: bool) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert bool(broken_rules(path, tmp_path)) == broken


def test_the_table_of_imports_has_no_circle_and_is_the_list_of_folders() -> None:
    levels(ALLOWED)
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert ALLOWED.keys() == folders | ROOT_FILES
    assert {path.stem for path in SOURCE.glob("*.py")} == ROOT_FILES


def test_no_two_files_import_each_other() -> None:
    names = {".".join(("trisep", *module_name(path))): path for path in source_files()}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        whole = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {module for module, _ in imported_modules(ast.Module(whole, []), module_name(path)[:-1])}
        graph[name] = {module for module in modules if module in names}
    levels(graph)


def test_the_levels_of_a_circle_are_refused() -> None:
    assert levels({"a": set(), "b": {"a"}}) == [{"a"}, {"b"}]
    with pytest.raises(AssertionError, match="circle"):
        levels({"a": {"b"}, "b": {"a"}})


def test_no_file_is_a_drawer_of_odds_and_ends() -> None:
    assert [path for path in source_files() if path.name in FORBIDDEN_FILES] == []


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_files_and_functions_are_short_and_public_ones_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    num_lines = len(text.splitlines())
    problems = [f"{path.name} has {num_lines} lines"] if num_lines > MAX_FILE_LINES else []
    if text.strip() and not ast.get_docstring(tree):
        problems.append(f"{path.name} has no docstring")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                problems.append(f"{path.name}:{node.lineno} {node.name} has {length} lines")
    problems += [
        f"{path.name}:{node.lineno} {node.name} has no docstring"
        for node in public_definitions(tree)
        if not ast.get_docstring(node)
    ]
    assert problems == []


PROGRAMS = [file for folder in ("benchmarks", "examples", "scripts") for file in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_programs_take_from_the_package_is_there(file: Path) -> None:
    taken = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "trisep"
        for alias in node.names
        if alias.name != "*"
    ]
    lacking = [
        f"{module}.{name}"
        for module, name in taken
        if not hasattr(importlib.import_module(module), name) and importlib.util.find_spec(f"{module}.{name}") is None
    ]
    assert lacking == []
