"""Drives one pool as the engine does, and builds the programs for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from papympi.contracts import Backend, Pool
from papympi.model.item import DROP, Key
from papympi.plan.program import Argument, Call, Program, Stage
from papympi.pools.executor import ExecutorPool
from papympi.transport.bitmap import is_valid
from papympi.transport.doorbell import wait_readable
from papympi.transport.payload import Payload
from papympi.transport.task import KeyRun, Kind, Lost, Outcome, Task

POOLS: Final = ("inline", "threads", "processes", "mpi")
"""The pools that a test of the whole runs on."""

PATIENCE_S: Final = 60.0
"""How long a pool may take to bring something home."""


class Driver:
    """Drives one open pool as the engine does, with patience that ends.

    Attributes:
        pool: the pool.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._number = 0
        self._outcomes: dict[int, Outcome] = {}
        self._lost: list[Lost] = []

    def submit(self, kind: Kind, values: Sequence[Any] = (), *, worker: int = 0, **fields: Any) -> int:
        """Send a task of stage 0 over some values; return its number."""
        self._number += 1
        self.pool.submit(worker, build_task(self._number, values, kind=kind, parent=(7,), **fields))
        return self._number

    def wait(self, number: int) -> Outcome:
        """Return a task's outcome."""
        self._wait(lambda: number in self._outcomes)
        return self._outcomes.pop(number)

    def wait_lost(self) -> Lost:
        """Return a worker that was lost."""
        self._wait(lambda: bool(self._lost))
        return self._lost.pop()

    def call(self, values: Sequence[Any], **fields: Any) -> Outcome:
        """Send a CALL and return its outcome."""
        return self.wait(self.submit(Kind.CALL, values, **fields))

    def _wait(self, is_there: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_there():
            assert time.monotonic() < end, f"pool {self.pool.name!r} brought nothing home in {PATIENCE_S:.0f} s"
            for arrival in self.pool.collect():
                if isinstance(arrival, Lost):
                    self._lost.append(arrival)
                elif isinstance(arrival, Outcome):
                    self._outcomes[arrival.task] = arrival
            descriptor = self.pool.fileno()
            if not is_there():
                wait_readable([] if descriptor is None else [descriptor], 0.001 if descriptor is None else 1.0)


def of_two(pool: str) -> str:
    """Return one of `POOLS` with two workers, as `pools=` and `--pool` take it."""
    return pool if pool == "inline" else f"{pool}:2"


def make_pool(backend: Backend, name: str, **options: Any) -> Pool:
    """Return a pool that a backend makes, as a run would have it: an executor becomes a pool."""
    made = backend.make(name, **options)
    if not isinstance(made, Executor):
        return made

    def renew() -> Executor:
        fresh = backend.make(name, **options)
        assert isinstance(fresh, Executor)
        return fresh

    return ExecutorPool(name, made, options.get("workers", 1), backend.capabilities, renew=renew, end=backend.end)


def values_of(outcome: Outcome, output: int = 0) -> list[Any]:
    """Return the values of one output of a task, `DROP` where an item was dropped."""
    found = outcome.outputs[output]
    values = [value for payload in found.payloads for value in payload.values()]
    return [value if is_valid(found.valid, i) else DROP for i, value in enumerate(values)]


def build_task(number: int, values: Sequence[Any], *, kind: Kind = Kind.CALL, parent: Key = (), **fields: Any) -> Task:
    """Return a task of stage 0 over some values, which are the children of one parent."""
    count = len(values)
    columns = [[(Payload(list(values)), 0, count)]]
    keys: list[KeyRun] = [(parent, 0, count)]
    return Task(number, kind, 0, count, columns=columns, keys=keys, **fields)


def build_map(*functions: Callable[..., Any], by_value: Sequence[str] = (), **options: Any) -> Program:
    """Return a program whose stage 0 calls functions one after the other on one column."""
    calls = [
        Call(getattr(function, "__name__", "node"), function, (Argument(column),), **options)
        for column, function in enumerate(functions)
    ]
    return Program({0: Stage("map", 1, tuple(calls), (len(calls),))}, ("__main__", *by_value))


def build_scatter(function: Callable[..., Any]) -> Program:
    """Return a program whose stage 0 is a scatter."""
    call = Call(function.__name__, function, (Argument(0),))
    return Program({0: Stage("scatter", 1, (call,), (1,))})


def build_fold(function: Callable[..., Any], factory: Callable[[], Any]) -> Program:
    """Return a program whose stage 0 is a fold."""
    call = Call(function.__name__, function, (Argument(0),))
    return Program({0: Stage("fold", 1, (call,), (1,), factory)})
