"""Two processors for one separation: while one applies masks and writes, another computes the next segment."""

from collections.abc import Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.1


def computed_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items in their order, each computed by a thread while the caller works on the one before.

    At most two items are waiting or in work. An exception of the iterator is raised here, in its place. When this
    generator is closed, the thread ends before its next item.
    """
    waiting: Queue[tuple[T | None, BaseException | None]] = Queue(maxsize=1)
    stopped = Event()

    def work() -> None:
        """Compute items until there are no more or nobody wants them."""
        ending: BaseException = StopIteration()
        try:
            for item in items:
                if not _put(waiting, (item, None), stopped):
                    return
        except BaseException as error:
            ending = error
        _put(waiting, (None, ending), stopped)

    thread = Thread(target=work, name="trisep-segments", daemon=True)
    thread.start()
    try:
        while True:
            item, ending = _get(waiting, thread)
            if isinstance(ending, StopIteration):
                return
            if ending is not None:
                raise ending
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


def _put(waiting: "Queue[T]", item: T, stopped: Event) -> bool:
    """Hand an item over; False when it is no longer wanted."""
    while not stopped.is_set():
        try:
            waiting.put(item, timeout=_POLL_SECONDS)
            return True
        except Full:
            continue
    return False


def _get(waiting: "Queue[T]", thread: Thread) -> T:
    """Take the next item, and stay open to an interrupt from the keyboard meanwhile."""
    while True:
        try:
            return waiting.get(timeout=_POLL_SECONDS)
        except Empty:
            assert thread.is_alive(), "the thread that computes segments ended without a word"
