"""The files that docs/adding_a_model.md shows are put where the page says, beside the package, and trained: the page
cannot rot.
"""

import ast
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from recipe_settings import stated
from training_stores import make_store

import trisep.models
import trisep.recipes
from trisep.checkpoints.format import load_model
from trisep.recipes import recipe, recipe_names
from trisep.training.loop import TrainSettings, train

PAGE = Path(__file__).parent.parent / "docs" / "adding_a_model.md"
FILE = re.compile(r"^`((?:src|tests)/\S+\.py)`:\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME, BUT_FOR = "film-unet-avmini", "clipsep-avmini"
LINE = re.compile(rf"^\| {NAME} \| {BUT_FOR} \| (\S+) \| `(.*)` \|$", re.MULTILINE)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files below a folder of their own, whose models and recipes are found like the package's."""
    for name, content in FILE.findall(PAGE.read_text(encoding="utf-8")):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    for package in (trisep.models, trisep.recipes):
        room = package.__name__.rpartition(".")[2]
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "src" / "trisep" / room)])
    yield tmp_path
    for package in (trisep.models, trisep.recipes):
        sys.modules.pop(f"{package.__name__}.film_unet", None)
        vars(package).pop("film_unet", None)


@pytest.mark.slow
def test_the_page_leads_to_a_trained_checkpoint(written: Path) -> None:
    assert NAME in recipe_names()
    changed = {path: value for path, value in stated(NAME).items() if stated(BUT_FOR).get(path) != value}
    assert changed == {path: ast.literal_eval(value) for path, value in LINE.findall(PAGE.read_text(encoding="utf-8"))}
    store = make_store(written, num_clips=3)
    model = train(recipe(NAME).tiny(), TrainSettings(data=store, out=written / "run", cpu=True, num_workers=0))
    loaded = load_model(model)
    assert (loaded.model_name, loaded.card["step"], loaded.card["recipe"]["name"]) == ("film_unet", 2, NAME)
    checks = runpy.run_path(str(written / "tests" / "models" / "test_film_unet.py"))
    named = [name for name in checks if name.startswith("test_")]
    for name in named:
        checks[name]()
    assert named


def test_nothing_of_it_is_left_behind() -> None:
    assert NAME not in recipe_names() and "trisep.models.film_unet" not in sys.modules
