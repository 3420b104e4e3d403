"""A mutation run: small random changes to losses, networks, models, metrics, protocols and recipes; a test must fail.

    python benchmarks/random_mutations.py [FOLDER…] [--count 10 | --sample N] [--seed 0] [--seconds 60] [--only FILE]

For each module of the folders, their `__init__.py` among them, it draws `--count` of all mutants that `changes` can
make, and runs the tests that import the module, of the folder of tests that mirrors its own, on each. With `--sample`
it draws so many of a folder, whatever their modules. Constants of recipes are held by a table of the papers' numbers as
well (`tests/recipes`); `mutations.py` holds a list of chosen mutants. A mutant that takes longer than `--seconds` of
processor time counts as killed. The table says which survived; the exit code is 1 if any did.

Each mutant is a fork of a process in which the tests have passed, with the code of one function exchanged, so that it
takes little more than its tests do; this needs a system that forks.
"""

import argparse
import ast
import gc
import importlib
import importlib.machinery
import importlib.util
import inspect
import itertools
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src" / "trisep", ROOT / "tests"
LIBRARIES = ("torch", "scipy.optimize", "scipy.signal", "scipy.stats", "jaxtyping", "beartype", "soundfile", "pytest")
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


def number_of_mutants(file: Path) -> int:
    """How many mutants of a module there are; annotations, docstrings and messages of errors stay."""
    return sum(1 for _ in changes(ast.parse(file.read_text(encoding="utf-8"))))


def mutant_of(file: Path, index: int) -> Mutant:
    """One mutant of a module, by its number in the order of nodes."""
    changed = ast.parse(file.read_text(encoding="utf-8"))
    line, before, after = next(change for at, change in enumerate(changes(changed, apply=index)) if at == index)
    return Mutant(file, line, f"`{before}` → `{after}`", ast.unparse(ast.fix_missing_locations(changed)))


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


def tests_of(file: Path) -> list[str]:
    """The test files that mirror the module's folder and name the module, or all of them where none does; and the table
    of the papers' numbers.
    """
    folder = file.parent.name
    every = sorted((TESTS / folder).glob("test_*.py"))
    # Recipes and protocols are called by their names, metrics through the package.
    if folder == "recipes":
        return [
            PAPER_NUMBERS,
            *(one for one in (str(path.relative_to(ROOT)) for path in every) if one != PAPER_NUMBERS),
        ]
    chosen = every if folder in ("recipes", "protocols") else [path for path in every if _names(path, file)] or every
    # The module's own tests first: the first failure ends a mutant.
    tests = [str(path.relative_to(ROOT)) for path in sorted(chosen, key=lambda path: path.stem != f"test_{file.stem}")]
    return [*tests, *([PAPER_NUMBERS] if folder in ("protocols", "models", "losses") else [])]


def _names(test: Path, file: Path) -> bool:
    text = test.read_text(encoding="utf-8")
    package, name = f"trisep.{file.parent.name}", file.stem
    if name == "__init__":
        return f"from {package} import" in text
    lines = [line for line in text.splitlines() if line.startswith(f"from {package} import ")]
    return f"{package}.{name}" in text or any(name in line.replace(",", " ").split() for line in lines)


def fates(mutants: Sequence[Mutant], tests: Sequence[str], *, seconds: int) -> list[bool] | None:
    """Whether each mutant survives the tests of its module; None where the package as it is does not.

    A fork of this process runs the tests on the package as it is. A mutant of a function is a fork of that fork, with
    the code of the function exchanged; any other is a fork of this process, which imports the package with the mutant.
    """
    told, tell = os.pipe()
    if (child := os.fork()) == 0:
        passes = False
        try:
            os.close(told)
            _silence()
            # Once more in a fork, as they are run on mutants.
            passes = _passes(tests) and _in_a_fork(lambda: _passes(tests), 5 * seconds)
            for mutant in mutants if passes else ():
                swaps = _swaps(mutant)
                survives = swaps and _in_a_fork(partial(_swapped, swaps, tests), seconds)
                os.write(tell, b"?" if not swaps else b"s" if survives else b"k")
        finally:
            os._exit(0 if passes else 1)
    os.close(tell)
    letters = ""
    with os.fdopen(told) as answers:
        while letter := answers.read(1):
            letters += letter
            print(letter, end="", file=sys.stderr, flush=True)
    if os.waitpid(child, 0)[1]:
        return None
    return [
        one == "s" if one != "?" else _in_a_fork(partial(_imported, mutant, tests), seconds)
        for one, mutant in zip(letters, mutants, strict=True)
    ]


def _in_a_fork(run: Callable[[], bool], seconds: int) -> bool:
    """Whether `run` says yes in a fork of this process, in time."""
    if (child := os.fork()) == 0:
        # Processor time, so that what else the machine does fails no test; and a wall for a process that waits forever.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.alarm(20 * seconds)
        status = 1
        try:
            status = not run()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _swaps(mutant: Mutant) -> dict[str, CodeType]:
    """The code of each function of the module that the mutant changes, by its qualified name."""
    original = ast.unparse(ast.parse(mutant.file.read_text(encoding="utf-8")))
    before, after = (_functions(compile(text, str(mutant.file), "exec")) for text in (original, mutant.source))
    return {name: code for name, code in after.items() if code != before.get(name)}


def _functions(code: CodeType) -> dict[str, CodeType]:
    """The functions and methods of a compiled module, but those inside of functions."""
    found = {}
    for one in code.co_consts:
        if isinstance(one, CodeType):
            # The body of a class runs once, without the flag that code of functions has.
            found |= {one.co_qualname: one} if one.co_flags & inspect.CO_OPTIMIZED else _functions(one)
    return found


def _swapped(swaps: dict[str, CodeType], tests: Sequence[str]) -> bool:
    """Exchange the code of functions that are imported, wherever they are held, and run the tests."""
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and (new := swaps.get(one.__code__.co_qualname)):
            if one.__code__.co_filename == new.co_filename:
                one.__code__ = new
    return _passes(tests)


def _imported(mutant: Mutant, tests: Sequence[str]) -> bool:
    """Import the package with the mutant in the place of its module and run the tests."""
    loader = importlib.machinery.SourceFileLoader
    real = loader.get_data

    def get_data(self: Any, path: str) -> bytes:
        """The mutant in the place of its file, and no compiled file of it."""
        if Path(path) == mutant.file:
            return mutant.source.encode()
        if path == importlib.util.cache_from_source(str(mutant.file)):
            raise OSError("compiled from the original")
        return real(self, path)

    loader.get_data = get_data  # type: ignore[method-assign]
    sys.dont_write_bytecode = True
    _silence()
    return _passes(tests)


def _silence() -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


def _passes(tests: Sequence[str]) -> bool:
    """Whether the tests pass in this process; those of other folders are asked what those of the first let pass."""
    import pytest

    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow"]
    # What was imported before the fork cannot have its assertions rewritten, of which pytest warns.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return not any(pytest.main([*options, *group]) for group in _by_folder(tests))


def _by_folder(tests: Sequence[str]) -> list[list[str]]:
    """Tests in groups of one folder each, in order."""
    return [list(group) for _, group in itertools.groupby(tests, lambda test: Path(test).parent)]


def warm_up() -> None:
    """Import what takes long and holds nothing of the package: its modules are imported in each fork, by its tests."""
    sys.path[:0] = [str(ROOT / "src"), str(TESTS)]
    os.chdir(ROOT)
    for name in LIBRARIES:
        importlib.import_module(name)


def drawn(folders: Sequence[str], *, only: str, count: int, sample: int | None, seed: int) -> list[Mutant]:
    """The mutants that `seed` draws, module by module, each in the order of its lines."""
    chosen: list[tuple[Path, int]] = []
    for folder in folders:
        files = [file for file in sorted((SOURCE / folder).glob("*.py")) if only in file.name]
        places = {file: [(file, index) for index in range(number_of_mutants(file))] for file in files}
        if sample is None:
            parts = [(file.name, found, count) for file, found in places.items()]
        else:
            parts = [(folder, list(itertools.chain(*places.values())), sample)]
        for name, found, number in parts:
            chosen += random.Random(f"{seed} {name}").sample(found, min(number, len(found)))
    return sorted(itertools.starmap(mutant_of, chosen), key=lambda one: (one.file, one.line))


def main() -> int:
    """Print one line for each mutant that survived, a line for each module, and the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=list(FOLDERS), help=f"of {', '.join(FOLDERS)}")
    parser.add_argument("--count", type=int, default=10, help="mutants of each module")
    parser.add_argument("--sample", type=int, help="mutants of each folder, in the place of --count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", default="", help="modules whose file's name holds this word")
    arguments = parser.parse_args()
    warm_up()
    settings = {name: getattr(arguments, name) for name in ("only", "count", "sample", "seed")}
    by_tests: dict[tuple[str, ...], list[Mutant]] = {}
    for mutant in drawn(arguments.folders, **settings):
        by_tests.setdefault(tuple(tests_of(mutant.file)), []).append(mutant)
    killed = total = 0
    print("| module | line | mutant | |\n|---|---:|---|---|", flush=True)
    for tests, mutants in by_tests.items():
        found = fates(mutants, tests, seconds=arguments.seconds)
        if found is None:
            sys.exit(f"they fail without a change: {' '.join(tests)}")
        for file, group in itertools.groupby(zip(mutants, found, strict=True), lambda pair: pair[0].file):
            name, pairs = file.relative_to(SOURCE), list(group)
            for mutant in (mutant for mutant, survived in pairs if survived):
                print(f"| {name} | {mutant.line} | {mutant.what.replace('|', '∣')} | **survived** |", flush=True)
            dead = sum(not survived for _, survived in pairs)
            print(f"| {name} | | {dead} of {len(pairs)} killed ({number_of_mutants(file)} possible) | |", flush=True)
            killed, total = killed + dead, total + len(pairs)
    print(f"\n{killed} of {total} killed")
    return int(killed < total)


if __name__ == "__main__":
    sys.exit(main())
