"""Queries of several parts: "violin and piano" is one stem of two, whose masks are joined after each was asked alone.

Words for two sounds in one embedding point at neither: their average lies between the two.
"""

import re
from collections.abc import Sequence

from trisep.types import Query

_AND = re.compile(r"\s+(?:and|&)\s+|\s*\+\s*", re.IGNORECASE)


def split_words(query: Query) -> Query:
    """Return a query in words that are joined by "and", "&" or "+" as one of several parts, any other as it is."""
    words = [] if query.text is None else [part.strip(" ,") for part in _AND.split(query.text)]
    if len(words) < 2 or not all(any(letter.isalnum() for letter in part) for part in words):
        return query
    return Query(query.name, parts=tuple(Query(part, text=part) for part in words))


def all_of(queries: Sequence[Query]) -> Query:
    """Return one query of all of these; its name is theirs, joined by "and"."""
    return Query(" and ".join(query.name for query in queries), parts=tuple(queries))


def flattened(queries: Sequence[Query]) -> tuple[list[Query], list[list[int]]]:
    """Return the parts of all queries in one list, and where each query's parts stand."""
    parts: list[Query] = []
    groups: list[list[int]] = []
    for query in queries:
        group, _ = flattened(query.parts) if query.parts is not None else ([query], [])
        groups.append(list(range(len(parts), len(parts) + len(group))))
        parts += group
    return parts, groups
