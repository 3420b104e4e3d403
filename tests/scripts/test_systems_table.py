"""The table of all systems is what its script makes of the code and the results, and names every system of a recipe."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from recipe_settings import SMALL

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
    of_papers = {name for name in recipe_names() if not name.endswith(SMALL)}
    assert {type(recipe(name).model) for name in listed} == {type(recipe(name).model) for name in of_papers}
    systems, figures = script.page().split("## Figures")
    for part, number, columns in ((systems, len(script.SYSTEMS), 6), (figures, len(script.FIGURES), 4)):
        rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| ")]
        assert len(rows) == 1 + number and all(len(row) == columns and all(map(str.strip, row)) for row in rows)
    assert not re.search(r"\|\s*no\s*\|", systems), "a system that runs was never trained or scored"


def test_every_picture_is_there(script: ModuleType) -> None:
    assert [figure.picture for figure in script.FIGURES if not (script.DOCS / figure.picture).is_file()] == []


def test_a_system_on_both_pages_is_told_by_the_first(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    first = "2 systems, trained for 300 steps of 16 mixtures, with 2 seeds.\n\n"
    first += "| system | asked with | dev: SDRi [95 %] | each seed | note |\n|---|---|---|---|---|\n"
    further = first.replace("300", "200")
    first += "| pit \\* | nothing | 2.97 [2.32, 3.65] | 2.94 · 3.01 | a |\n"
    first += "| vast | text | 4.75 [3, 5] | – | shipped, after 2600 steps |\n"
    further += "| pit \\* | nothing | 0.10 [0, 1] | 0.10 | b |\n| avsgs | boxes | 0.20 [0, 1] | 0.20 | c |\n"
    for name, text in zip(script.RESULTS, (first, further), strict=True):
        (tmp_path / "results" / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(script, "DOCS", tmp_path)
    systems = [script.System(row, "b", "clipsep", row=row) for row in ("pit", "vast", "avsgs", "none")]
    monkeypatch.setattr(script, "SYSTEMS", (*systems, script.System("", "b", row="none")))
    rows = [line for line in script.page().split("## Figures")[0].splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")][3:] for row in rows]
    bars, further_bars = "[bars](results/mini.md)", "[bars](results/mini_further.md)"
    assert cells[0] == ["300 steps of 16 mixtures, 2 seeds", "2.97 [2.32, 3.65] dB, nothing", bars]
    assert cells[1] == ["shipped, 2600 steps", "4.75 [3, 5] dB, text", bars]
    assert cells[2] == ["200 steps of 16 mixtures, 1 seed", "0.20 [0, 1] dB, boxes", further_bars]
    assert cells[3] == ["no"] * 3 and cells[4] == ["not built"] * 3


def test_a_recipe_that_is_not_there_is_noticed(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "SYSTEMS", (script.System("Nothing", "none", "clipsap"),))
    with pytest.raises(ValueError, match="Nothing: no recipe 'clipsap'"):
        script.page()
