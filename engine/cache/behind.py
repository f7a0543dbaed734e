"""Work that is finished in a thread behind the one that goes on: waiting for a device, writing to a disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


class Behind(Generic[Key, Result]):
    """One thread that works in order; whoever gives it work is told the results, in order, by his own thread.

    A context manager: leaving it waits for what is under way, and drops what is not begun.

    Args:
        most: So much may be unfinished; 0 = each piece is waited for.
        on_done: Told what was submitted and what came of it, by `submit` and `settle`.
    """

    def __init__(self, most: int, on_done: Callable[[Key, Result], None]) -> None:
        self._most, self._on_done = most, on_done
        self._under_way: deque[tuple[Key, Future[Result]]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")

    def __enter__(self) -> Behind[Key, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, key: Key, work: Callable[[], Result]) -> None:
        """Have something done; waits until little enough is unfinished.

        Raises:
            Exception: What any earlier work raised.
        """
        self._under_way.append((key, self._pool.submit(work)))
        self.settle(self._most)

    def settle(self, most_left: int = 0) -> None:
        """Tell what is done, and wait until at most so much is not.

        Raises:
            Exception: What the work raised.
        """
        while self._under_way and (len(self._under_way) > most_left or self._under_way[0][1].done()):
            key, future = self._under_way.popleft()
            self._on_done(key, future.result())
