"""The lines that a new recipe needs on a page are those that the recipes that there are have on it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from recipe_settings import GONE, read_tables

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setting_lines", ROOT / "scripts" / "setting_lines.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "name"), [("small_recipes", "vast-avmini"), ("small_recipes", "kilgour-avmini"), ("paper_numbers", "sgn")]
)
def test_a_variant_on_a_page_is_printed_as_it_stands_there(page: str, name: str, script: ModuleType) -> None:
    rows = [row for row in read_tables(ROOT / "docs" / f"{page}.md")["Variants"] if row[0] == name]
    stated = {" | ".join([*cells, value if value == GONE else f"`{value}`"]) for *cells, value in (r[:4] for r in rows)}
    printed = script.lines(name, rows[0][1])
    assert {line.strip("| ") for line in printed} == stated and len(printed) == len(rows)


def test_the_cell_of_the_source_is_left_open_and_what_cannot_be_printed_is_said(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert all(line.endswith(" |  |") for line in script.lines("clipsep-middle", "clipsep"))
    for arguments, message in ((["sgn", "klipsep"], "unknown recipe 'klipsep'"), (["sgn"], "usage: ")):
        monkeypatch.setattr("sys.argv", ["setting_lines.py", *arguments])
        assert script.main() == 2
        said = capsys.readouterr()
        assert not said.out and message in said.err and "Traceback" not in said.err
