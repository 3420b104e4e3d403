"""The rules of the house that a machine can check: which way imports point, what must not exist, how long things may be."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "trisep"

BASE = {"errors", "types"}
SIGNAL = BASE | {"media", "spectrogram"}
FROZEN = SIGNAL | {"encoders", "networks", "pretrained"}
LEARNED = FROZEN | {"fusion", "models"}
DATA = {"losses", "mixing", "augmentation", "metrics", "store", "datasets", "figures"}
BESIDE_MODELS = {"checkpoint", "baselines", "captions", "presence"}
VERBS = {
    "data_status",
    "separate",
    "localize",
    "prepare",
    "embed",
    "embed_captions",
    "train",
    "evaluate",
    "compare",
    "convert",
    "export",
    "catalogue",
}
TRAINING = {"training_data", "training_queries", "training_run", "training_start", "training_processes", "validation"}
SEPARATION = {"places", "watched", "queries", "segments", "streaming", "separation_run", "report", "stem_files", "batch"}
BELOW_VERBS = LEARNED | DATA | BESIDE_MODELS | {"recipes", "protocols", "arguments"} | TRAINING | SEPARATION

# What each part of the package may import, besides itself. A new part is entered here, with thought.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors"},
    "arguments": {"errors", "datasets"},
    "media": BASE,
    "spectrogram": BASE,
    "networks": BASE,
    "pretrained": BASE,
    "encoders": SIGNAL | {"pretrained"},
    "fusion": FROZEN,
    "models": FROZEN | {"fusion"},
    **{name: SIGNAL for name in DATA},
    **{name: LEARNED | BESIDE_MODELS for name in BESIDE_MODELS},
    "recipes": LEARNED | DATA | BESIDE_MODELS,
    "protocols": LEARNED | DATA | BESIDE_MODELS,
    **{name: BELOW_VERBS - {"arguments"} - SEPARATION for name in TRAINING},
    **{name: BELOW_VERBS - TRAINING for name in SEPARATION},
    "scoring": BELOW_VERBS - TRAINING,
    **{name: BELOW_VERBS | VERBS | {"scoring"} for name in VERBS},
    "analyses": BELOW_VERBS | VERBS | {"scoring"},
    "listening": BELOW_VERBS | VERBS | {"scoring"},
    "cli": BELOW_VERBS | VERBS | {"scoring", "analyses", "listening"},
    "web": BELOW_VERBS | VERBS | {"scoring", "analyses", "listening"},
    "__init__": BELOW_VERBS | VERBS,
}
FORBIDDEN_MODULES = {"torchvision", "torchaudio", "torchcodec", "timm", "open_clip", "pickle", "cPickle", "dill", "cloudpickle"}
FORBIDDEN_FILES = {"utils.py", "util.py", "common.py", "helpers.py", "helper.py", "misc.py"}
MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 300


def source_files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(SOURCE.rglob("*.py"))


def module_name(path: Path, source: Path = SOURCE) -> tuple[str, ...]:
    """The dotted name of a file inside the package, as a tuple: ("media", "audio")."""
    parts = path.relative_to(source).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


def imported_modules(tree: ast.Module, package: tuple[str, ...]) -> list[tuple[str, int]]:
    """Absolute names of everything imported anywhere in a file, with the line; `from trisep import x` counts as trisep.x."""
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


def broken_rules(path: Path, source: Path = SOURCE) -> list[str]:
    """Sentences about each import in a file that the rules do not allow."""
    name = module_name(path, source)
    if name[0] not in ALLOWED:
        return [f"{name[0]} is not in ALLOWED of {Path(__file__).name}: enter what it may import"]
    package = name if path.name == "__init__.py" and name != ("__init__",) else name[:-1]
    broken = []
    for module, line in dict.fromkeys(imported_modules(ast.parse(path.read_text(encoding="utf-8")), package)):
        top, _, rest = module.partition(".")
        part = rest.split(".")[0]
        if top in FORBIDDEN_MODULES:
            broken.append(f"{path.relative_to(source)}:{line} imports the forbidden {module}")
        if top == "trisep" and part not in ALLOWED[name[0]] | {name[0]}:
            broken.append(f"{path.relative_to(source)}:{line} imports {module}, which points the wrong way")
    return broken


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
        ("models/clipsep.py", "from trisep.fusion.late import LateFusion", False),
        ("models/clipsep.py", "from . import sound_of_pixels", False),
        ("media/audio.py", "def decode():\n    import trisep.spectrogram.stft", True),
        ("train.py", "from trisep.losses.masks import weighted_bce", False),
        ("train.py", "from trisep import cli", True),
        ("store/read.py", "import pickle", True),
        ("encoders/clip.py", "from timm.models import create_model", True),
        ("novelty.py", "import numpy", True),
        ("__init__.py", "from trisep.separate import Separator", False),
        ("__init__.py", "from trisep import cli", True),
    ],
)
def test_the_rules_catch_what_they_should(tmp_path: Path, file: str, line: str, broken: bool) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert bool(broken_rules(path, tmp_path)) == broken


def test_the_table_of_imports_has_no_circle() -> None:
    # Parts that stand on one level (verbs; the parts of training; what stands beside the models) may use each other, so they count as one.
    groups = {"verbs": VERBS, "beside models": BESIDE_MODELS, "training": TRAINING, "separation": SEPARATION}
    level = {name: group for group, names in groups.items() for name in names}
    graph: dict[str, set[str]] = {}
    for part, allowed in ALLOWED.items():
        graph.setdefault(level.get(part, part), set()).update(level.get(name, name) for name in allowed)
    placed: set[str] = set()
    while remaining := {part for part in graph if part not in placed}:
        free = {part for part in remaining if graph[part] - {part} <= placed}
        assert free, f"these import each other in a circle: {sorted(remaining)}"
        placed |= free


def test_no_file_is_a_drawer_of_odds_and_ends() -> None:
    assert [path for path in source_files() if path.name in FORBIDDEN_FILES] == []


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_files_and_functions_are_short_and_public_ones_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    problems = [f"{path.name} has {num_lines} lines"] if (num_lines := len(text.splitlines())) > MAX_FILE_LINES else []
    if text.strip() and not ast.get_docstring(tree):
        problems.append(f"{path.name} has no docstring")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                problems.append(f"{path.name}:{node.lineno} {node.name} has {length} lines")
    problems += [
        f"{path.name}:{node.lineno} {node.name} has no docstring" for node in public_definitions(tree) if not ast.get_docstring(node)
    ]
    assert problems == []
