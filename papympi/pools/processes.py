"""The pool of child processes: each guarded on its own socket, killed and replaced alone."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Sequence
from typing import Any, Final

from papympi.contracts import Backend, Capabilities
from papympi.errors import OptionError
from papympi.plan.program import Program
from papympi.transport.ship import pack_program
from papympi.transport.task import Lost, Outcome, Task
from papympi.workers.guard import Guard
from papympi.workers.nursery import Nursery

_READ: Final = selectors.EVENT_READ
_BOTH: Final = selectors.EVENT_READ | selectors.EVENT_WRITE
_GRACE_S: Final = 5.0
"""How long `close` waits for children to finish what they are at."""

CAPABILITIES: Final = Capabilities(streams=True, survives_crash=True, can_kill=True)


class ProcessesPool:
    """Child processes on this host, forked from a small server of the pool's own, driven without threads.

    Args:
        name: the pool's name.
        workers: how many; by default one for each CPU that this process may use.
        places: how many batches one worker may have: 2 means one at work and one on its way.
    """

    capabilities = CAPABILITIES
    concurrency = 1

    def __init__(self, name: str, workers: int | None = None, places: int = 2) -> None:
        self.name = name
        count = _count_cpus() if workers is None else _check_count(name, "workers", workers)
        self.places = _check_count(name, "places", places)
        self.workers: Sequence[str] = [f"{name}[{number}] on {socket.gethostname()}" for number in range(count)]
        self._nursery = Nursery(name)
        self._guards: list[Guard] = []
        self._selector: selectors.DefaultSelector | None = None
        self._waiting: set[Guard] = set()

    def open(self, program: Program) -> None:
        """Start the fork server and a child for each worker."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.kill)
            self._selector = selectors.DefaultSelector()
            self._nursery.start()
            packed = pack_program(program)  # while the server imports
            for number in range(len(self.workers)):
                guard = Guard(number, f"{self.name}[{number}]", self._nursery, program, packed)
                self._start(guard)
                self._guards.append(guard)
            stack.pop_all()

    def submit(self, worker: int, task: Task) -> None:
        """Send a task to a worker; what its socket does not take now is sent by `collect`."""
        guard = self._guards[worker]
        if not guard.send(task) and guard not in self._waiting:
            self._await_room(guard)

    def collect(self) -> list[Outcome | Lost]:
        """Return what has come home, and the workers that were lost and have been replaced."""
        news: list[Outcome | Lost] = []
        if self._selector is None:
            return news
        dead: list[Guard] = []
        for key, events in self._selector.select(0):
            guard: Guard = key.data
            if events & _READ:
                if key.fd != guard.descriptors[0]:
                    dead.append(guard)
                    continue
                try:
                    news += guard.read()
                except (EOFError, OSError):
                    dead.append(guard)
                    continue
            if events & selectors.EVENT_WRITE and guard.flush():
                self._selector.modify(key.fd, _READ, guard)
                self._waiting.discard(guard)
        for guard in dict.fromkeys(dead):
            news += self._replace(guard)
        return news

    def fileno(self) -> int | None:
        """Return the selector's descriptor."""
        return None if self._selector is None else self._selector.fileno()

    def close(self) -> None:
        """End the children once they have finished what they are at; those that take too long are killed."""
        self._end(_GRACE_S)

    def kill(self) -> None:
        """Kill the children and whatever they have started, and wait until it is gone."""
        self._end(0)

    def _start(self, guard: Guard) -> None:
        """Start a guard's child and watch it."""
        assert self._selector is not None
        written = guard.start()
        for descriptor in guard.descriptors:
            self._selector.register(descriptor, _READ, guard)
        if not written:
            self._await_room(guard)

    def _await_room(self, guard: Guard) -> None:
        """Watch for a guard's socket to become writable."""
        assert self._selector is not None
        self._waiting.add(guard)
        self._selector.modify(guard.descriptors[0], _BOTH, guard)

    def _replace(self, guard: Guard) -> list[Outcome | Lost]:
        """Put a fresh child in the place of a dead one; return what that had sent, and how it ended."""
        self._forget(guard)
        outcomes, lost = guard.bury()
        self._start(guard)
        return [*outcomes, lost]

    def _forget(self, guard: Guard) -> None:
        """Stop watching a guard's child."""
        assert self._selector is not None
        self._waiting.discard(guard)
        for descriptor in guard.descriptors:
            self._selector.unregister(descriptor)

    def _end(self, grace: float) -> None:
        """End children, server and all that belongs to them."""
        orphaned = not self._nursery.is_alive()  # then nobody else ends what the children had started
        for guard in self._guards:
            self._forget(guard)
            if orphaned:
                guard.kill()
            guard.close()
        self._guards.clear()
        self._nursery.end(grace)
        if self._selector is not None:
            self._selector.close()
            self._selector = None


def _count_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_count(name: str, option: str, value: Any) -> int:
    """Return `value` if it is a number of workers or places."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise OptionError(f"pool {name!r}: {option} must be an integer of at least 1, not {value!r}")
    return value


BACKEND: Final = Backend(
    make=ProcessesPool,
    summary="child processes on this host; a crash costs one item (options: workers, places)",
    capabilities=CAPABILITIES,
)
