"""The settings of the papers' recipes and protocols are those of docs/paper_numbers.md, line by line."""

import ast
from pathlib import Path

import pytest
from recipe_settings import GONE, SMALL, papers, read_tables, settings_of

from trisep.baselines import baseline
from trisep.mixing.augmentation import AugmentationConfig
from trisep.protocols import broad, mini_sets, protocol, protocol_names
from trisep.recipes import recipe, recipe_names

PAGE = Path(__file__).parents[2] / "docs" / "paper_numbers.md"
OURS = {"avmini", "avmini-duets", "avmini-offscreen"} | {one.name for one in (*mini_sets.PROTOCOLS, *broad.PROTOCOLS)}
TABLES = read_tables(PAGE)
BASES = [heading.removeprefix("Recipe ") for heading in TABLES if heading.startswith("Recipe ")]
PARENTS = {row[0]: row[1] for row in TABLES["Variants"]}
PAPER_PROTOCOLS = list(dict.fromkeys(row[0] for row in TABLES["Protocols"]))


def test_every_recipe_and_protocol_of_a_paper_is_on_the_page() -> None:
    assert {*BASES, *PARENTS} == {name for name in recipe_names() if not name.endswith(SMALL)}
    assert set(PAPER_PROTOCOLS) == set(protocol_names()) - OURS
    assert {row[0] for row in TABLES["Claims"]} == {name for name in (*BASES, *PARENTS) if recipe(name).claims}
    assert all(row[-1] for rows in TABLES.values() for row in rows)


@pytest.mark.parametrize("name", BASES)
def test_a_recipe_is_set_as_the_page_says(name: str) -> None:
    assert papers(name) == {path: ast.literal_eval(value) for path, value, _ in TABLES[f"Recipe {name}"]}
    assert recipe(name).augmentation == AugmentationConfig()


@pytest.mark.parametrize("name", list(PARENTS))
def test_a_variant_differs_by_what_the_page_says_and_by_nothing_else(name: str) -> None:
    before, after = papers(PARENTS[name]), papers(name)
    expected = dict(before)
    for _, _, path, value, _ in (row for row in TABLES["Variants"] if row[0] == name):
        if value == GONE:
            expected.pop(path, None)
        else:
            expected[path] = ast.literal_eval(value)
    assert after == expected
    assert recipe(name).augmentation == AugmentationConfig()


def test_the_claims_are_those_of_the_page() -> None:
    for name in (*BASES, *PARENTS):
        stated = tuple((number, ast.literal_eval(value)) for row, number, value, _ in TABLES["Claims"] if row == name)
        assert recipe(name).claims == stated, name


@pytest.mark.parametrize("name", PAPER_PROTOCOLS)
def test_a_protocol_is_set_as_the_page_says(name: str) -> None:
    found = {path: value for path, value in settings_of(protocol(name)) if path not in ("name", "pairs")}
    assert found == {path: ast.literal_eval(value) for row, path, value, _ in TABLES["Protocols"] if row == name}


@pytest.mark.parametrize("name", ["nmf_mfcc", "rpca"])
def test_a_classical_system_is_set_as_the_page_says(name: str) -> None:
    stated = {path: ast.literal_eval(value) for row, path, value, _ in TABLES["Classical systems"] if row == name}
    assert dict(settings_of(baseline(name).Config())) == stated
