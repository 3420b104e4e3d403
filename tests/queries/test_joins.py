"""Words for several sounds are several queries of one stem."""

import pytest

from trisep.errors import QueryError
from trisep.queries.embed import query_entry, span_query
from trisep.queries.joins import all_of, flattened, split_words
from trisep.types import Query


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("violin and piano", ["violin", "piano"]),
        ("violin AND piano & dog+cat", ["violin", "piano", "dog", "cat"]),
        ("violin, and piano", ["violin", "piano"]),
        ("sandpaper", None),
        ("hand and", None),
        ("and", None),
        ("dog + ?", None),
    ],
)
def test_words_are_split_where_they_name_several_sounds(words: str, parts: list[str] | None) -> None:
    query = split_words(Query(words, text=words))
    assert query.name == words
    assert (None if query.parts is None else [part.text for part in query.parts]) == parts


def test_parts_stand_in_one_list_and_each_query_knows_its_own() -> None:
    dog, pair = Query("dog", text="dog"), split_words(Query("a and b", text="a and b"))
    parts, groups = flattened([dog, pair, all_of([dog, pair])])
    assert [part.name for part in parts] == ["dog", "a", "b", "dog", "a", "b"]
    assert groups == [[0], [1, 2], [3, 4, 5]]
    assert all_of([dog, pair]).name == "dog and a and b"
    assert query_entry(pair) == {"kind": "all_of", "parts": ["a", "b"]}


def test_spans_as_people_write_them() -> None:
    query = span_query(" 3.0-4.5 ")
    assert (query.name, query.span) == ("3.0-4.5 s", (3.0, 4.5))
    assert query_entry(query) == {"kind": "span", "span_seconds": [3.0, 4.5]}
    for words in ("", "3", "3-", "-3", "a-b", "1:00-2:00"):
        with pytest.raises(QueryError, match="expected two times in seconds, such as 3.0-4.5"):
            span_query(words)
    for words in ("4-3", "3-3"):
        with pytest.raises(QueryError, match="the first before the second"):
            span_query(words)


def test_a_query_without_parts_or_of_two_kinds_is_refused() -> None:
    with pytest.raises(QueryError, match="has no parts"):
        Query("none", parts=())
    with pytest.raises(QueryError, match="exactly one of them"):
        Query("two", text="two", span=(0.0, 1.0))
