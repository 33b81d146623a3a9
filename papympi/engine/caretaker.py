"""Turns the loop while the consumer is away, so that workers go on until admission is used up."""

from __future__ import annotations

import threading
import time

from papympi.engine.loop import Engine
from papympi.engine.ordering import Handover
from papympi.workers.evaluate import attempt

AWAY_S = 0.005
"""The consumer counts as away after so many seconds outside `next()`."""
PATIENCE = 20
"""After so many looks that found the consumer inside, the caretaker sleeps until it leaves."""


class Turnstile:
    """The one way into an engine: the consumer passes through `next`, the caretaker fills in behind it.

    What the caretaker's turn raises is raised at the consumer's next visit.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted = threading.Event()
        self._left = threading.Event()
        self._inside = False
        self._asleep = False
        self._closed = False
        self._visits = 0
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def next(self) -> Handover | None:
        """Return what the engine hands over next; `None` at the end."""
        self._inside = True
        self._visits += 1
        self._wanted.set()
        if not self._engine.lock.acquire(blocking=False):
            self._engine.wake()
            self._engine.lock.acquire()
        self._wanted.clear()
        try:
            if self._error is not None:
                raise self._error
            found = self._engine.next()
        finally:
            self._engine.lock.release()
            self._inside = False
            if self._asleep:
                self._left.set()
        if self._thread is None and found is not None:
            self._thread = threading.Thread(target=self._watch, name="papympi-caretaker", daemon=True)
            self._thread.start()
        return found

    def close(self) -> None:
        """End the caretaker and wait until it has left the engine."""
        self._closed = True
        self._wanted.set()
        self._left.set()
        self._engine.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        looks = 0
        while not self._closed:
            if looks >= PATIENCE:
                self._sleep()
                looks = 0
            visits = self._visits
            time.sleep(AWAY_S)
            if self._inside or self._visits != visits or self._closed:
                looks = looks + 1 if self._inside else 0
            elif not self._tend():
                looks = PATIENCE

    def _sleep(self) -> None:
        """Wait until the consumer has left, or has been inside and left again."""
        self._left.clear()
        self._asleep = True
        if not self._closed:
            self._left.wait()
        self._asleep = False

    def _tend(self) -> bool:
        """Turn the engine until the consumer is back; return whether there may be more to do."""
        with self._engine.lock:
            more, error = attempt(self._engine.tend, self._wanted)
            self._error = error
            return error is None and bool(more)
