"""Finds workers that hang and cannot be killed alone: they keep silent for longer than their task may take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from papympi.plan.program import Program
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.evaluation.alarm import find_shortest_timeout

GRACE_S: Final = 10.0
"""How much longer than the time-outs of its items a task may take: for the wire, and for what is no item's time."""
_LOOK_S: Final = 2.0
"""So much time at most counts between two looks: while the runner itself stands still, nobody else is late."""


class PendingTask(NamedTuple):
    """A task that a worker has.

    Attributes:
        items: how many calls it may take.
        budget: how long, in seconds, by the time-outs of its nodes; `None`: as long as it likes.
        generator: START, ADVANCE: which.
    """

    task: int
    stage: int
    items: int
    budget: float | None
    generator: int


class Hang(NamedTuple):
    """A worker from which nothing has come for too long.

    Attributes:
        nodes: the nodes of the task that it is at.
        seconds: how long nothing has come from it.
    """

    worker: int
    nodes: tuple[str, ...]
    task: PendingTask
    seconds: float


class HangDetector:
    """Knows which worker has which tasks since when, and how long it may take for them.

    Args:
        grace: how much longer they may take, in seconds.
        clock: what time it is, in seconds.
    """

    def __init__(
        self, program: Program, workers: int, grace: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stages = program.stages
        self._grace = grace
        self._pending: list[deque[PendingTask]] = [deque() for _ in range(workers)]
        self._since = [0.0] * workers
        self._warm: set[tuple[int, int]] = set()
        self._parents: dict[int, int] = {}
        self._clock = 0.0
        self._time = clock
        self._looked = clock()
        self._ends = find_shortest_timeout(program) > 0

    def send(self, worker: int, task: Task) -> None:
        """Note that a worker is sent a task."""
        if not self._ends:
            return
        if task.kind is Kind.DISCARD:
            self._parents.pop(task.generator, None)
            return
        if not self._pending[worker]:
            self._since[worker] = self._clock
        items = self._count(task)
        budget = self._budget(worker, task.stage, items)
        self._pending[worker].append(PendingTask(task.id, task.stage, items, budget, task.generator))

    def hear(self, worker: int, outcome: Outcome) -> None:
        """Note that an outcome has come from a worker."""
        if not self._ends:
            return
        self._since[worker] = self._clock
        tasks = self._pending[worker]
        while tasks:
            task = tasks.popleft()
            if task.task == outcome.task:
                self._warm.add((worker, task.stage))
                if outcome.finished or outcome.again:
                    self._parents.pop(task.generator, None)
                return

    def deadline(self) -> float | None:
        """Return when a worker will have kept silent for too long, by `time.monotonic`."""
        ends = [since + limit for _, _, since, limit in self._waits()]
        return self._looked + min(ends) - self._clock if ends else None

    def find_hang(self) -> Hang | None:
        """Return a worker that has kept silent for too long; everything that has come has been heard."""
        if not self._ends:
            return None
        now = self._time()
        self._clock += min(now - self._looked, _LOOK_S)
        self._looked = now
        for worker, task, since, limit in self._waits():
            if self._clock > since + limit:
                nodes = tuple(call.node for call in self._stages[task.stage].calls)
                return Hang(worker, nodes, task, self._clock - since)
        return None

    def _waits(self) -> list[tuple[int, PendingTask, float, float]]:
        """Return for each worker at a task that has an end: number, task, since when, and how long that may take."""
        return [
            (worker, tasks[0], self._since[worker], tasks[0].budget + self._grace)
            for worker, tasks in enumerate(self._pending)
            if tasks and tasks[0].budget is not None
        ]

    def _count(self, task: Task) -> int:
        """Return how many calls a task may take."""
        if task.kind is Kind.START:
            self._parents[task.generator] = task.count
        if task.kind in {Kind.START, Kind.ADVANCE}:
            parents = self._parents.get(task.generator, 0)
            return task.chunk + task.skip + parents * (1 + task.whole)
        return task.count

    def _budget(self, worker: int, number: int, items: int) -> float | None:
        """Return how long a task may take; a resource may take as long as it likes to be made."""
        stage = self._stages[number]
        needs_resource = any(argument.resource for call in stage.calls for argument in call.arguments)
        is_cold = needs_resource and (worker, number) not in self._warm
        if is_cold or stage.inner or not all(call.timeout for call in stage.calls):
            return None
        halvings = items.bit_length() if any(call.vectorized for call in stage.calls) else 0
        return sum(call.timeout or 0.0 for call in stage.calls) * items * (1 + halvings)
