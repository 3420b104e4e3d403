"""The table of all systems is what its script makes of the code and the results, and names every system of a recipe."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from trisep.models import model_names
from trisep.recipes import recipe, recipe_names

SCRIPT = Path(__file__).parents[2] / "scripts" / "systems_table.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("systems_table", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_makes(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run scripts/systems_table.py --write"


def test_no_model_and_no_cell_is_left_out(script: ModuleType) -> None:
    listed = {system.recipe for system in script.SYSTEMS if system.recipe}
    assert listed <= set(recipe_names())
    assert {type(recipe(name).model).__module__.rpartition(".")[2] for name in listed} == set(model_names())
    rows = [line.strip("|").split("|") for line in script.page().splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(script.SYSTEMS) and all(len(row) == 6 and all(map(str.strip, row)) for row in rows)


def test_a_recipe_that_is_not_there_is_noticed(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "SYSTEMS", (script.System("Nothing", "none", "clipsap"),))
    with pytest.raises(ValueError, match="Nothing: no recipe 'clipsap'"):
        script.page()
