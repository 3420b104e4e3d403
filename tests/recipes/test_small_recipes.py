"""The recipes for small computers: set as docs/small_recipes.md says, and kin to the papers' recipes of their names."""

import ast
from pathlib import Path

import pytest
from recipe_settings import SMALL, read_tables, stated

from trisep.encoders.lite import LiteEncoder
from trisep.queries.boxes import lite_labels
from trisep.recipes import recipe, recipe_names
from trisep.recipes.co_separation import LITE_LABELS

TABLES = read_tables(Path(__file__).parents[2] / "docs" / "small_recipes.md")
BASE = "clipsep-avmini"
PARENTS = {row[0]: row[1] for row in TABLES["Variants"]}
FROM_PAPERS = [name for name in recipe_names() if f"{name}-avmini" in recipe_names()]


def test_all_of_them_are_on_the_page_and_the_base_is_set_as_it_says() -> None:
    assert {BASE, *PARENTS} == {name for name in recipe_names() if name.endswith(SMALL)}
    assert stated(BASE) == {path: ast.literal_eval(value) for path, value in TABLES[f"Recipe {BASE}"]}


@pytest.mark.parametrize("name", list(PARENTS))
def test_a_variant_differs_by_what_the_page_says_and_by_nothing_else(name: str) -> None:
    after = stated(name)
    expected = {path: value for path, value in stated(PARENTS[name]).items() if path in after}
    expected |= {path: ast.literal_eval(value) for row, _, path, value in TABLES["Variants"] if row == name}
    assert after == expected


@pytest.mark.parametrize("name", FROM_PAPERS)
def test_a_small_recipe_is_the_system_of_its_name(name: str) -> None:
    large, small = recipe(name), recipe(f"{name}-avmini")
    assert (type(small.model), small.supervision) == (type(large.model), large.supervision)
    assert small.query == large.query and small.mixing.num_sources == large.mixing.num_sources
    assert (type(small.loss), small.citation) in {
        (type(large.loss), large.citation),
        (type(recipe("hfra-hierarchical").loss), large.citation),  # hfra-avmini has no teacher
    }
    unets = small.model.unet, large.model.unet
    if hasattr(unets[1], "out_channels"):
        assert unets[0].out_channels == unets[1].out_channels
    # Words and pictures of `lite` are unit vectors of 384 numbers, and a clip is two or four seconds.
    if small.encoder == "lite" and getattr(small.model, "embedding_dim", 0):
        config = small.model
        assert (config.embedding_dim, config.normalize_query, config.query_scale) == (384, True, 20.0)
    assert (1 + small.signal.clip_samples // small.signal.hop_samples) in (128, 256)


def test_the_classes_of_boxes_are_those_of_lite_and_one_for_nothing() -> None:
    assert len(lite_labels(LiteEncoder())) + 1 == LITE_LABELS
