"""A thread that reads rows ahead, so that a source that blocks does not stop the run."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any, Final

Read = Callable[[Callable[[Iterable[Any]], None], int], None]
"""Gives up to so many rows to a function, one by one as they come."""

PATIENCE_S: Final = 1.0
"""A row that is being read when a run stops is waited for so long, in seconds."""


class ReaderThread:
    """A thread that reads rows, in a copy of the context that it was made in. What it has read can be taken at once.

    The thread extends a queue that the engine takes from; before it asks for the next row, which may be long in coming,
    it wakes the engine if that has found the queue empty.

    Args:
        name: of the source.
        read: reads rows.
        close: lets go of the source; called in the thread.
        interrupts: end a read that takes its time, from any thread.
        wake: wakes the engine.
    """

    def __init__(
        self,
        name: str,
        read: Read,
        close: Callable[[], None],
        interrupts: Sequence[Callable[[], None]],
        wake: Callable[[], None],
    ) -> None:
        self._name = name
        self._read_rows = read
        self._close = close
        self._interrupts = interrupts
        self._wake = wake
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self._rows: deque[Any] = deque()
        self._whole = True
        self._hungry = False
        self._until: float | None = None
        self._context = contextvars.copy_context()
        self._thread: threading.Thread | None = None

    def ask(self, count: int) -> None:
        """Ask for a quota of rows; there is one under way at a time."""
        if self._thread is None:
            run, name = self._context.run, f"papympi-{self._name}"
            self._thread = threading.Thread(target=run, args=(self._read,), name=name, daemon=True)
            self._thread.start()
        self._whole = False
        self._wanted.put(count)

    def take(self) -> tuple[list[Any], bool] | None:
        """Return what has come since it was last asked, and whether that is all of the quota; `None`: nothing has."""
        self._hungry = True
        whole = self._whole  # looked at before the queue: nothing is put there once it is set
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows and not whole:
            return None
        self._hungry = False
        return rows, whole

    def is_given_up(self) -> bool:
        """Return whether nothing more of the quota is waited for, since the source has said nothing for long enough."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + PATIENCE_S
        return now >= self._until

    def close(self) -> None:
        """Let the thread end once it is back from the iterator."""
        self._wanted.put(0)
        for interrupt in self._interrupts:
            interrupt()
        if self._thread is None:
            self._close()

    def feed_hungry(self) -> None:
        """Wake the engine if it found nothing; called between two rows."""
        if self._hungry:
            self._hungry = False
            self._wake()

    def _read(self) -> None:
        while count := self._wanted.get():
            self._read_rows(self._rows.extend, count)
            self._whole = True
            self._wake()
        self._close()
