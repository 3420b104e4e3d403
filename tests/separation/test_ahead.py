"""Items computed by a thread: the same ones in the same order, errors in their place, an end when nobody listens."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from trisep.errors import MediaError
from trisep.separation.ahead import computed_ahead


def test_the_items_are_the_same_and_are_computed_in_another_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(20):
            threads.add(threading.current_thread().name)
            yield number

    assert list(computed_ahead(items())) == list(range(20))
    assert threads == {"trisep-segments"}


def test_the_next_item_is_computed_while_one_is_in_use_and_none_after_it() -> None:
    begun: list[int] = []
    second, third = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number in count():
            begun.append(number)
            {1: second, 2: third}.get(number, threading.Event()).set()
            yield number

    ahead = computed_ahead(items())
    assert next(ahead) == 0
    assert second.wait(timeout=10)  # nobody has asked for the second item yet
    assert not third.wait(timeout=0.2)  # it waits, and the third is not begun
    assert next(ahead) == 1
    assert third.wait(timeout=10)
    ahead.close()
    assert max(begun) <= 3
    assert "trisep-segments" not in {thread.name for thread in threading.enumerate()}


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise MediaError("cannot be decoded")

    ahead = computed_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(MediaError, match="cannot be decoded"):
        next(ahead)
