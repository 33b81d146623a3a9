"""One pool under several names of a run, for workers of which there are only so many, such as the ranks of a world."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from papympi.contracts import Pool
from papympi.plan.program import Program
from papympi.transport.records import Logs
from papympi.transport.task import Kind, Lost, Outcome, Task


class SharedPool:
    """A pool whose workers several names share. The tasks of one run have numbers that are its own.

    Args:
        pool: nobody else uses it; not yet open.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._views: list[PoolView] = []
        self._owners: dict[int, PoolView] = {}
        self._present = 0

    @property
    def is_empty(self) -> bool:
        """Say whether no name has the pool open."""
        return not self._present

    def view(self, name: str) -> PoolView:
        """Return the pool as one of the names has it."""
        self._views.append(PoolView(name, self))
        return self._views[-1]

    def is_first(self, view: PoolView) -> bool:
        """Say whether a name is the first of all."""
        return self._views[0] is view

    def enter(self, program: Program) -> None:
        """Open the pool for the first that comes; all of a run have the same program."""
        if not self._present:
            self.pool.open(program)
        self._present += 1

    def submit(self, view: PoolView, worker: int, task: Task) -> None:
        """Hand over a task."""
        if task.kind is not Kind.DISCARD:
            self._owners[task.id] = view
        self.pool.submit(worker, task)

    def collect(self) -> None:
        """Give everybody what has come home; a lost worker is lost to all."""
        for arrival in self.pool.collect():
            if isinstance(arrival, Outcome):
                self._owners.pop(arrival.task).inbox.append(arrival)
            elif isinstance(arrival, Lost) and arrival.single:
                self._owners.pop(arrival.task or 0).inbox.append(arrival)
            elif isinstance(arrival, Lost):
                for number, view in enumerate(self._views):
                    view.inbox.append(replace(arrival, logs=None) if number else arrival)
            else:
                self._views[0].inbox.append(arrival)

    def leave(self, end: Callable[[], None]) -> None:
        """End the pool when the last has left."""
        self._present -= 1
        if self.is_empty:
            end()


class PoolView:
    """A pool under one of its names.

    Attributes:
        inbox: what has come home for it, and has not been collected.
    """

    def __init__(self, name: str, shared: SharedPool) -> None:
        self.name = name
        self.inbox: deque[Outcome | Lost | Logs] = deque()
        pool = shared.pool
        self.capabilities, self.workers = pool.capabilities, pool.workers
        self.concurrency, self.places = pool.concurrency, pool.places
        self._shared = shared
        self._is_in = False

    @property
    def notes(self) -> Sequence[str]:
        """Return what the pool has to say, once for all names."""
        return self._shared.pool.notes if self._shared.is_first(self) else ()

    def open(self, program: Program) -> None:
        """Open the pool, unless another name has."""
        self._shared.enter(program)
        self._is_in = True
        self.workers = self._shared.pool.workers

    def submit(self, worker: int, task: Task) -> None:
        """Send a task to a worker."""
        self._shared.submit(self, worker, task)

    def collect(self) -> list[Outcome | Lost | Logs]:
        """Return what has come home for this name."""
        self._shared.collect()
        found = list(self.inbox)
        self.inbox.clear()
        return found

    def withdraw(self) -> None:
        """Let workers begin nothing more, for whatever name."""
        getattr(self._shared.pool, "withdraw", tuple)()  # a plugin may be from before there was such a thing

    def fileno(self) -> int | None:
        """Return the pool's descriptor."""
        return self._shared.pool.fileno()

    def deadline(self) -> float | None:
        """Return when to look: now, if another name has taken home what is for this one."""
        return time.monotonic() if self.inbox else self._shared.pool.deadline()

    def close(self) -> None:
        """Leave the pool; the last that does closes it."""
        self._leave(self._shared.pool.close)

    def kill(self) -> None:
        """Leave the pool; the last that does kills it."""
        self._leave(self._shared.pool.kill)

    def _leave(self, end: Callable[[], None]) -> None:
        if self._is_in:
            self._is_in = False
            self._shared.leave(end)
        elif self._shared.is_empty:  # it has not opened, or is to be killed after all
            end()
