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


def test_the_next_item_is_computed_while_one_is_in_use_and_no_more_than_two_ahead() -> None:
    begun: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in count():
            begun.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = computed_ahead(items())
    assert next(ahead) == 0
    assert second.wait(timeout=10)  # nobody has asked for the second item yet
    assert next(ahead) == 1
    ahead.close()
    assert max(begun) <= 4
    assert "trisep-segments" not in {thread.name for thread in threading.enumerate()}


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise MediaError("cannot be decoded")

    ahead = computed_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(MediaError, match="cannot be decoded"):
        next(ahead)
