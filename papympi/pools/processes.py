"""The pool of child processes: each guarded on its own socket, killed and replaced alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from papympi.contracts import Backend, Capabilities
from papympi.errors import OptionError
from papympi.plan.program import Program
from papympi.transport.records import Logs
from papympi.transport.ship import pack_program
from papympi.transport.task import Lost, Outcome, Task
from papympi.workers.guards import Guards
from papympi.workers.limits import count_shared_memory, parse_memory, parse_shared_memory
from papympi.workers.nursery import Nursery

CAPABILITIES: Final = Capabilities(streams=True, survives_crash=True, can_kill=True)


class ProcessesPool:
    """Child processes on this host, forked from a small server of the pool's own, driven without threads.

    Args:
        name: the pool's name.
        workers: how many; by default one for each CPU that this process may use.
        places: how many batches one worker may have: one at work, one on its way, and more while they are brief and
            light.
        memory: how much one worker may allocate, e.g. "2 GB" or a number of bytes; by default what there is.
        shared_memory: how much shared memory large values may take on their way, in the same form; by default a
            quarter of the memory that there is. What finds no room there, with 0 everything, goes through sockets.
    """

    capabilities = CAPABILITIES
    notes: Sequence[str] = ()
    concurrency = 1

    def __init__(
        self,
        name: str,
        workers: int | None = None,
        places: int = 2,
        memory: int | str | None = None,
        shared_memory: int | str | None = None,
    ) -> None:
        self.name = name
        count = _count_cpus() if workers is None else _check_count(name, "workers", workers)
        self.places = _check_count(name, "places", places)
        self.workers: Sequence[str] = [f"{name}[{number}] on {socket.gethostname()}" for number in range(count)]
        self._nursery = Nursery(name)
        names = [f"{name}[{number}]" for number in range(count)]
        shared = count_shared_memory(parse_shared_memory(name, shared_memory))
        self._guards = Guards(self._nursery, names, parse_memory(name, memory), shared=shared)

    def open(self, program: Program) -> None:
        """Start the fork server and a child for each worker."""
        try:
            self._nursery.start()
            self._guards.start(program, pack_program(program))  # packed while the server imports
        except BaseException:
            self.kill()
            raise

    def submit(self, worker: int, task: Task) -> None:
        """Send a task to a worker; what its socket does not take now is sent by `collect`."""
        self._guards.submit(worker, task)

    def collect(self) -> list[Outcome | Lost | Logs]:
        """Return what has come home, and the workers that were lost and have been replaced."""
        return [*self._guards.collect(), *self._guards.take_logs()]

    def fileno(self) -> int | None:
        """Return the descriptor of the children's selector."""
        return self._guards.fileno()

    def deadline(self) -> float | None:
        """Return when a child has to be looked after, because an item of it takes too long."""
        return self._guards.deadline()

    def close(self) -> None:
        """End the children once they have finished what they are at; those that take too long are killed."""
        self._guards.close()

    def kill(self) -> None:
        """Kill the children and whatever they have started, and wait until it is gone."""
        self._guards.kill()


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
    summary="child processes on this host; a crash costs one item (options: workers, places, memory, shared_memory)",
    capabilities=CAPABILITIES,
)
