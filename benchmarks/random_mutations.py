"""A mutation run: small random changes to losses, networks, models, metrics, protocols and recipes; a test must fail.

    python benchmarks/random_mutations.py [FOLDER…] [--count 10] [--seed 0] [--seconds 60] [--only FILE]

For each module of the folders, but their `__init__.py`, it draws `--count` of all mutants that `mutants_of` can make,
and runs the tests that import the module, of the folder of tests that mirrors its own, on each. Constants of recipes
are held by a table of the papers' numbers as well (`tests/recipes`); `mutations.py` holds a list of chosen mutants. A
mutant that takes longer than `--seconds` counts as killed. The table says which survived; the exit code is 1 if any
did.

The modules are imported once. Each mutant is a fork of that process in which the module and all that import it are
imported anew, so that a mutant takes about a second, which is why this needs a system that forks.
"""

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.machinery
import io
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src" / "trisep", ROOT / "tests"
FOLDERS = ("losses", "networks", "models", "metrics", "protocols", "recipes")
PAPER_NUMBERS = "tests/recipes/test_paper_numbers.py"
_COMPARE: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_METHODS = {
    "mean": "sum", "sum": "mean", "amin": "amax", "amax": "amin", "min": "max", "max": "min",
    "square": "abs", "abs": "square", "relu": "abs", "clamp_min": "clamp_max", "argmax": "argmin",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change to one module."""

    file: Path
    line: int
    what: str
    """The line as it was, and what became of its changed part."""
    source: str
    """The whole changed module."""


def mutants_of(file: Path) -> list[Mutant]:
    """All mutants of a module, in the order of its nodes; annotations, docstrings and messages of errors stay."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    number = sum(1 for _ in changes(tree))
    found = []
    for index in range(number):
        changed = copy.deepcopy(tree)
        line, before, after = next(change for at, change in enumerate(changes(changed, apply=index)) if at == index)
        what = f"`{before}` → `{after}`"
        found.append(Mutant(file, line, what, ast.unparse(ast.fix_missing_locations(changed))))
    return found


def changes(tree: ast.AST, *, apply: int | None = None) -> Iterator[tuple[int, str, str]]:
    """Yield (line, before, after) of every place that can be changed, changing the one of number `apply`."""
    count = 0
    for node in _code(tree):
        for field, new in _choices(node):
            before = ast.unparse(node)
            old = getattr(node, field)
            setattr(node, field, new)
            after = ast.unparse(node)
            if count != apply:
                setattr(node, field, old)
            yield getattr(node, "lineno", 0), before, after
            count += 1


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that compute: no annotations, docstrings, imports, raised errors, assertions or texts."""
    if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "op", "ops"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _choices(node: ast.AST) -> list[tuple[str, Any]]:
    """The fields of a node that are changed, each with its new value."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
        return [("ops", [_COMPARE[type(node.ops[0])](), *node.ops[1:]])]
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return [("op", _ARITHMETIC[type(node.op)]())]
    if isinstance(node, ast.BoolOp):
        return [("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [("op", ast.UAdd())]
    if isinstance(node, ast.If | ast.IfExp):
        return [("test", ast.UnaryOp(ast.Not(), node.test))]
    if isinstance(node, ast.Attribute) and node.attr in _METHODS:
        return [("attr", _METHODS[node.attr])]
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            return [("value", not node.value)]
        if isinstance(node.value, int):
            return [("value", node.value + 1)]
        if isinstance(node.value, float):
            return [("value", 2 * node.value if node.value else 1.0)]
    return []


def imports() -> dict[str, set[str]]:
    """The modules of the package, by name, and which of them each one imports itself."""
    names = {_module(file): file for file in SOURCE.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, file in names.items():
        used: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                used |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
        found[name] = used & names.keys()
    return found


def dependents(module: str, graph: dict[str, set[str]]) -> set[str]:
    """The module, and all that import it, directly or not."""
    found, waiting = {module}, [module]
    while waiting:
        one = waiting.pop()
        new = {name for name, used in graph.items() if one in used} - found
        found |= new
        waiting += new
    return found


def tests_of(file: Path) -> list[str]:
    """The test files that mirror the module's folder and name the module, and the table of the papers' numbers."""
    folder = file.parent.name
    chosen = [path for path in sorted((TESTS / folder).glob("test_*.py")) if _names(path, file)]
    if folder in ("recipes", "protocols"):
        chosen = sorted((TESTS / folder).glob("test_*.py"))
    tests = [str(path.relative_to(ROOT)) for path in chosen]
    return [*tests, *([PAPER_NUMBERS] if folder in ("protocols", "models", "losses") else [])]


def _names(test: Path, file: Path) -> bool:
    text = test.read_text(encoding="utf-8")
    package, name = f"trisep.{file.parent.name}", file.stem
    if name == "__init__":
        return f"from {package} import" in text
    lines = [line for line in text.splitlines() if line.startswith(f"from {package} import ")]
    return f"{package}.{name}" in text or any(name in line.replace(",", " ").split() for line in lines)


def survives(mutant: Mutant, tests: Sequence[str], stale: set[str], hook: Any, *, seconds: int) -> bool:
    """Whether the tests pass on a mutant, in a fork of this process."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        status = 1
        try:
            status = _run(mutant, tests, stale, hook)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return status == 0


def _run(mutant: Mutant, tests: Sequence[str], stale: set[str], hook: Any) -> int:
    """Import the mutant and what depends on it anew, and run the tests; returns pytest's exit code."""
    import pytest

    hook.uninstall()
    for name in stale:
        sys.modules.pop(name, None)
        package, _, child = name.rpartition(".")
        # `from package import module` takes the attribute where there is one, not the module anew.
        if package in sys.modules:
            vars(sys.modules[package]).pop(child, None)
    loader = importlib.machinery.SourceFileLoader
    real = loader.get_data

    def get_data(self: Any, path: str) -> bytes:
        """The mutant in the place of its file, and no compiled file of it."""
        if Path(path) == mutant.file:
            return mutant.source.encode()
        if path.endswith(".pyc") and Path(path).name.split(".")[0] == mutant.file.stem:
            raise OSError("compiled from the original")
        return real(self, path)

    loader.get_data = get_data  # type: ignore[method-assign]
    sys.dont_write_bytecode = True
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    # What was imported before the fork cannot have its assertions rewritten, of which pytest warns.
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow"]
    return int(pytest.main([*options, "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]))


def warm_up(graph: dict[str, set[str]], folders: Sequence[str]) -> Any:
    """Import what the tests import, as they do, with every annotation checked; returns the hook that checks."""
    import jaxtyping

    sys.path[:0] = [str(ROOT / "src"), str(TESTS)]
    os.chdir(ROOT)
    hook = jaxtyping.install_import_hook("trisep", "annotation_check.check_annotations")
    for name in sorted(graph):
        if name.split(".")[1:2] and name.split(".")[1] in (*folders, "separation", "evaluation"):
            with contextlib.redirect_stderr(io.StringIO()):
                importlib.import_module(name)
    return hook


def _module(file: Path) -> str:
    name = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def main() -> int:
    """Print one line for each mutant that survived, a line for each module, and the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=list(FOLDERS), help=f"of {', '.join(FOLDERS)}")
    parser.add_argument("--count", type=int, default=10, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", default="", help="modules whose file's name holds this word")
    arguments = parser.parse_args()
    graph = imports()
    hook = warm_up(graph, FOLDERS)
    killed = total = 0
    print("| module | line | mutant | |\n|---|---:|---|---|", flush=True)
    files = [file for folder in arguments.folders for file in sorted((SOURCE / folder).glob("[!_]*.py"))]
    for file in (file for file in files if arguments.only in file.name):
        tests, stale = tests_of(file), dependents(_module(file), graph)
        every = mutants_of(file)
        chosen = random.Random(f"{arguments.seed} {file.name}").sample(every, min(arguments.count, len(every)))
        name, dead = file.relative_to(SOURCE), 0
        same = Mutant(file, 0, "", ast.unparse(ast.parse(file.read_text(encoding="utf-8"))))
        if chosen and not survives(same, tests, stale, hook, seconds=5 * arguments.seconds):
            sys.exit(f"{name}: its tests fail without a change: {' '.join(tests)}")
        for mutant in sorted(chosen, key=lambda one: one.line):
            if survives(mutant, tests, stale, hook, seconds=arguments.seconds):
                print(f"| {name} | {mutant.line} | {mutant.what.replace('|', '∣')} | **survived** |", flush=True)
            else:
                dead += 1
        killed, total = killed + dead, total + len(chosen)
        print(f"| {name} | | {dead} of {len(chosen)} killed ({len(every)} possible) | |", flush=True)
    print(f"\n{killed} of {total} killed")
    return int(killed < total)


if __name__ == "__main__":
    sys.exit(main())
