"""Which queries in words are understood."""

import csv
from pathlib import Path

import numpy as np
import pytest

from trisep.encoders.lite import LiteEncoder
from trisep.encoders.none import NoEncoder
from trisep.queries.understanding import LEAST_COSINE, reasons_not_understood, understanding
from trisep.types import Query

QUERIES = Path(__file__).parents[2] / "benchmarks" / "understood_queries.csv"


@pytest.fixture(scope="module")
def encoder() -> LiteEncoder:
    return LiteEncoder()


@pytest.mark.parametrize(
    "text",
    [
        "violin",
        "person playing a violin",
        "someone strumming a guitar",
        "traffic on a busy road",
        "tuba",
        "Castanets",
        "squeezebox",
    ],
)
def test_good_wordings_are_understood(encoder, text: str) -> None:
    assert reasons_not_understood(encoder, [Query(text, text=text)]) == [None]


@pytest.mark.parametrize(
    "text", ["asdfghjkl", "quarterly tax report", "el perro ladra", "justice", "zzzqqq", "dog zxcvbnm"]
)
def test_what_is_far_from_everything_is_not(encoder, text: str) -> None:
    (reason,) = reasons_not_understood(encoder, [Query(text, text=text)])
    assert reason is not None and reason.startswith("not understood")


@pytest.mark.parametrize("text", ["not the violin", "no bongos", "everything but the dog", "don't play the piano"])
def test_negations_are_not(encoder, text: str) -> None:
    (reason,) = reasons_not_understood(encoder, [Query(text, text=text)])
    assert reason is not None and "negations" in reason


@pytest.mark.slow
def test_all_wordings_that_were_heard_in_training_are_understood(encoder) -> None:
    with (QUERIES.parents[1] / "examples" / "wordings.csv").open(encoding="utf-8") as lines:
        words = {word for row in csv.DictReader(lines) for word in [row["label"], *row["wordings"].split(";")] if word}
    asked = [Query(word, text=word.strip()) for word in sorted(words)]
    assert len(asked) > 600 and not any(reasons_not_understood(encoder, asked))


def test_a_word_that_holds_a_negation_is_none(encoder) -> None:
    assert understanding(encoder, "trumpet note") > LEAST_COSINE
    assert understanding(encoder, "knocking") > 0


def test_pictures_and_other_encoders_are_left_alone(encoder) -> None:
    picture = Query("asdfghjkl", image=np.zeros((8, 8, 3), np.uint8))
    assert reasons_not_understood(encoder, [picture]) == [None]

    assert understanding(NoEncoder(), "asdfghjkl") == 1.0


def test_the_list_is_as_long_as_said_and_has_no_query_twice() -> None:
    with QUERIES.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len({row["query"] for row in rows}) == len(rows) == 180
    assert sum(row["understood"] == "yes" for row in rows) == 120
