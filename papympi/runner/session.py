"""What one run holds: its pools, its engine, and the promise that all of it is gone afterwards, however it ends."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Literal

from papympi.contracts import Pool
from papympi.engine.caretaker import Turnstile
from papympi.engine.loop import Engine
from papympi.engine.ordering import Handover
from papympi.errors import StateError
from papympi.monitors.progress import Progress
from papympi.plan.plan import Plan
from papympi.runner.hooks import Watchers
from papympi.runner.keeping import Keeper

_OPEN: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """The pools and the engine of one run.

    Attributes:
        plan: what is run.
        engine: `None` before it has begun.
        state: "new", "running" or "closed".
    """

    def __init__(
        self,
        plan: Plan,
        pools: Mapping[str, Pool],
        watchers: Watchers,
        *,
        progress: bool = False,
        keeper: Keeper | None = None,
        **settings: Any,
    ) -> None:
        self.plan = plan
        self.engine: Engine | None = None
        self.state: Literal["new", "running", "closed"] = "new"
        self._made = dict(pools)
        self._watchers = watchers
        self._keeper = keeper
        self._settings = settings
        self._turnstile: Turnstile | None = None
        self._pools: dict[str, Pool] = {}
        self._stopping = False
        self._guard = threading.Lock()
        self._shows = progress
        self._display = ExitStack()

    def check_new(self) -> None:
        """Raise a `StateError` if the session has begun."""
        if self.state != "new":
            what = "is closed" if self.state == "closed" else "is being iterated already"
            raise StateError(f"this run {what}; call run() again for another")

    def begin(self) -> None:
        """Open the pools and make the engine.

        Raises:
            StateError: it has begun before.
            PoolError: a pool cannot be opened.
        """
        self.check_new()
        with ExitStack() as undo:
            undo.callback(self.cancel)
            self.state = "running"
            _OPEN.add(self)
            if self._keeper is not None:
                self._settings |= self._keeper.open()
            for name, pool in self._made.items():
                self._pools[name] = pool
                pool.open(self.plan.program)
            self.engine = Engine(self.plan, self._pools, **self._settings)
            self._turnstile = Turnstile(self.engine)
            self._watchers.start(self.engine.statistics)
            if self._keeper is not None:
                self._keeper.start(self.engine.statistics)
            if self._shows:
                self._display.enter_context(Progress(self.engine.statistics))
            if self._stopping:
                self.engine.stop()
            undo.pop_all()

    def handovers(self) -> Iterator[Handover]:
        """Yield what the engine hands over; end the session at the end, and whenever the iteration is given up."""
        if self._turnstile is None:
            raise StateError("this run has not begun")
        with ExitStack() as ending:
            ending.callback(self.cancel)
            while self.state == "running" and (found := self._turnstile.next()) is not None:
                self._watchers.check()
                yield found
            ending.pop_all()
        self.close()

    def stop(self) -> None:
        """Start nothing more; from any thread or signal handler."""
        self._stopping = True
        if self.engine is not None:
            self.engine.stop()

    def close(self) -> None:
        """End the workers; what they are at is given up unless the run is finished."""
        finished = self.engine is not None and self.engine.is_idle()
        self._end((lambda pool: pool.close()) if finished else (lambda pool: pool.kill()))

    def cancel(self) -> None:
        """End the workers at once, whatever they are doing."""
        self._end(lambda pool: pool.kill())

    def _end(self, end: Callable[[Pool], None]) -> None:
        with self._guard:
            state, self.state = self.state, "closed"
        if state != "running":
            return
        _OPEN.discard(self)
        with ExitStack() as stack:
            if self._keeper is not None:
                stack.callback(self._close_keeper, self._keeper)
            if self.engine is not None:
                stack.callback(self._watchers.finish, self.engine.statistics(), self.engine.tally.failures)
            for pool in self._pools.values():
                stack.callback(end, pool)
            if self._turnstile is not None and self.engine is not None:
                stack.callback(self.engine.close)
                stack.callback(self._turnstile.close)
            stack.callback(self._display.close)

    def _close_keeper(self, keeper: Keeper) -> None:
        engine = self.engine
        keeper.close(*((engine.statistics(), engine.tally.failures) if engine is not None else (None, ())))


@atexit.register
def _cancel_open() -> None:
    """End what the program has left open."""
    for session in list(_OPEN):
        session.cancel()
