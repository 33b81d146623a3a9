"""Turns the loop while the consumer is away, so that workers go on until admission is used up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from papympi.engine.delivery import Delivery
from papympi.engine.loop import Engine
from papympi.workers.evaluation.attempt import attempt

AWAY_S = 0.005
"""The consumer counts as away after so many seconds outside `next()`."""
MOST_LOOKS = 20
"""After so many looks that found the consumer inside, the thread sleeps until it leaves."""
GRACE_S = 1.0
"""An end does not wait longer, in seconds, for a turn that does not end: the runner itself is in a user's function."""


class EngineDriver:
    """The one way into an engine: the consumer turns it in its `next`, a thread does while the consumer is away.

    What the thread's turn raises is raised at the consumer's next visit.

    Args:
        engine: what is turned.
        runs_ahead: somebody turns it while the consumer is away.
    """

    def __init__(self, engine: Engine, *, runs_ahead: bool = True) -> None:
        self._engine = engine
        self._runs_ahead = runs_ahead
        self._wanted = threading.Event()
        self._left = threading.Event()
        self._inside = False
        self._asleep = False
        self._closed = False
        self._visits = 0
        self._visitor = self._driver = 0
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._on_close: list[Callable[[], None]] = []

    def next(self) -> Delivery | None:
        """Return what the engine hands over next; `None` at the end, and when it is closed."""
        self._inside = True
        self._visits += 1
        self._wanted.set()
        try:
            self._visitor = threading.get_ident()
            if self._engine.lock.locked():
                self._engine.wake()
            with self._engine.lock:
                self._wanted.clear()
                if self._error is not None:
                    raise self._error
                found = None if self._closed else self._engine.next()
                if self._closed:
                    found = None  # what there was, nobody wants any more
                elif found is not None and self._runs_ahead:
                    self._run_ahead()
        finally:
            self._visitor = 0
            self._inside = False
            if self._asleep:
                self._left.set()
            self._call_on_close()
        return found

    def nudge(self) -> None:
        """Let the thread look whether there is something to do again."""
        self._left.set()

    def close(self, on_close: Callable[[], None]) -> None:
        """Let everybody leave the engine, end the thread, then call `on_close`.

        Whoever calls it from within a turn, such as a signal handler or a function that the runner itself evaluates, is
        not waited for: `on_close` is called when that turn is over.
        """
        self._closed = True
        self._engine.halt()
        self._wanted.set()
        self._left.set()
        if threading.get_ident() in (self._visitor, self._driver):
            self._on_close.append(on_close)
            return
        if self._engine.lock.acquire(timeout=GRACE_S):
            self._engine.lock.release()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(GRACE_S)
        on_close()

    def _run_ahead(self) -> None:
        """Start the thread, if it has not been; whoever holds the lock does, so that an end finds it running or not."""
        if self._thread is None:
            thread = threading.Thread(target=self._watch, name="papympi-engine", daemon=True)
            thread.start()
            self._thread = thread

    def _call_on_close(self) -> None:
        """Do what was asked for from within the turn that is over."""
        while self._on_close:
            self._on_close.pop()()

    def _watch(self) -> None:
        looks = 0
        while not self._closed:
            if looks >= MOST_LOOKS:
                self._sleep()
                looks = 0
            visits = self._visits
            time.sleep(AWAY_S)
            if self._inside or self._visits != visits or self._closed:
                looks = looks + 1 if self._inside else 0
            elif not self._tend():
                looks = MOST_LOOKS

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
            if self._closed:
                return False
            self._driver = threading.get_ident()
            more, error = attempt(self._engine.tend, self._wanted)
            self._error = error
            self._driver = 0
        self._call_on_close()
        return error is None and bool(more)
