"""The card of a model, for people and for machines."""

import json

import pytest

from trisep import cli
from trisep.checkpoints.card import card_lines


def test_the_card_of_the_default_fits_80_columns_and_says_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "default"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80 and lines[0].startswith("default, version ")
    for entry in ("kind", "trained", "weights", "data", "data licences", "licence", "limits", "scores"):
        assert any(line.startswith(f"  {entry} ") for line in lines), entry
    assert cli.main(["info", "default", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["recipe"]["optimizer"] and " ".join(card["limits"].split()) in " ".join(text.split())


def test_a_card_that_says_little_is_short() -> None:
    card = {"model": "clipsep", "step": 3, "recipe": {"name": "mine"}, "metrics": {"si_sdri": 1.23456, "n": 4}}
    assert card_lines(card) == [
        "mine",
        "  kind           clipsep, encoder None, None Hz",
        "  trained        recipe mine, 3 steps",
        "  scores         si sdri: 1.23",
        "  scores         n: 4",
    ]


def test_letters_that_take_two_cells_are_wrapped_by_their_width() -> None:
    card = {"model": "clipsep", "step": 3, "description": "", "data": "音" * 50 + " and more", "limits": "x" * 70}
    lines = card_lines(card)
    assert lines[3:] == [
        "  data           " + "音" * 31,
        " " * 17 + "音" * 19 + " and more",
        "  limits         " + "x" * 63,
        " " * 17 + "x" * 7,
    ]
