"""`benchmarks/random_mutations.py`: which modules mutants are drawn from, and which tests are to kill them."""

import importlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def mutations(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("random_mutations")


def test_mutants_are_drawn_of_every_module(mutations: Any) -> None:
    files = (mutations.SOURCE / "losses").glob("*.py")
    every = {file.name for file in files if mutations.number_of_mutants(file)}
    found = mutations.drawn(["losses"], only="", count=1, sample=None, seed=0)
    assert {one.file.name for one in found} == every and "__init__.py" in every
    of_packages = mutations.drawn(["models", "losses"], only="__init__", count=1, sample=None, seed=0)
    assert [one.file.parent.name for one in of_packages] == ["losses", "models"]
    sampled = mutations.drawn(["models"], only="__init__", count=1, sample=3, seed=0)
    assert len({one.source for one in sampled}) == 3


def test_a_package_is_tested_by_what_imports_from_it(mutations: Any) -> None:
    tests = mutations.tests_of(mutations.SOURCE / "metrics" / "__init__.py")
    assert tests[0].startswith("tests/metrics/test_") and "tests/metrics/test_metrics.py" in tests
