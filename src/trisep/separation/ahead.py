"""Two processors for one separation: while one applies masks and writes, another computes the next segment."""

from collections.abc import Iterator
from queue import Empty, Queue
from threading import Event, Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.1


def computed_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items in their order, each computed by a thread while the caller works on the one before.

    The thread begins an item once the one before it was taken, so that one is in use and one in work or waiting. An
    exception of the iterator is raised here, in its place. When this generator is closed, the thread ends before its
    next item.
    """
    waiting: Queue[tuple[T | None, BaseException | None]] = Queue(maxsize=1)
    taken, stopped = Semaphore(0), Event()

    def work() -> None:
        """Compute items until there are no more or nobody wants them."""
        ending: BaseException = StopIteration()
        try:
            for item in items:
                waiting.put((item, None))
                del item
                taken.acquire()
                if stopped.is_set():
                    return
        except BaseException as error:
            ending = error
        waiting.put((None, ending))

    thread = Thread(target=work, name="trisep-segments", daemon=True)
    thread.start()
    try:
        while True:
            item, ending = _get(waiting, thread)
            taken.release()
            if isinstance(ending, StopIteration):
                return
            if ending is not None:
                raise ending
            yield item  # type: ignore[misc]
            del item
    finally:
        stopped.set()
        taken.release()
        thread.join()


def _get(waiting: "Queue[T]", thread: Thread) -> T:
    """Take the next item, and stay open to an interrupt from the keyboard meanwhile."""
    while True:
        try:
            return waiting.get(timeout=_POLL_SECONDS)
        except Empty:
            assert thread.is_alive(), "the thread that computes segments ended without a word"
