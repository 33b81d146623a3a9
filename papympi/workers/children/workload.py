"""The tasks that one child has at hand, and what its record says of them: whose time is up, who is at fault."""

from __future__ import annotations

import time

from papympi.plan.program import Program
from papympi.transport.task import KeyRun, Kind, Lost, Task
from papympi.workers.children.output import Owner
from papympi.workers.evaluation.alarm import find_timeout
from papympi.workers.evaluation.columns import key_at
from papympi.workers.evaluation.progress import ProgressSnapshot, mark_resource
from papympi.workers.host import is_stopped


class Workload:
    """The tasks of one child that have no outcome yet, by id.

    Attributes:
        items: of how many items it has had tasks, if that is counted.
        generators: how many generators the child holds between two tasks.
    """

    def __init__(self, program: Program, *, counts: bool = False) -> None:
        self.items = 0
        self.generators = 0
        self._counts = counts
        self._excused_ns = 0
        self._program = program
        self._advancing: dict[int, Kind] = {}
        self._stages: dict[int, int] = {}
        self._keys: dict[int, list[KeyRun]] = {}

    def __len__(self) -> int:
        return len(self._stages)

    def put(self, task: Task) -> None:
        """Note that the child has been sent a task."""
        if task.kind is not Kind.CALL:
            self._note_generator(task)
            if task.kind is Kind.DISCARD:
                return
        if self._counts:
            self.items += count_items(task)
        self._stages[task.id] = task.stage
        self._keys[task.id] = task.keys

    def take(self, task: int, *, gone: bool = True) -> None:
        """Note that it has answered one; `gone`: a generator that it was for is no more."""
        if self._advancing and (kind := self._advancing.pop(task, None)) is not None:
            self.generators += (not gone) if kind is Kind.START else -gone
        self._stages.pop(task, None)
        self._keys.pop(task, None)

    def _note_generator(self, task: Task) -> None:
        """Note that a task is about a generator."""
        if task.kind is Kind.DISCARD:
            self.generators -= 1
        elif task.kind is not Kind.FOLD:
            self._advancing[task.id] = task.kind

    def clear(self) -> None:
        """Forget them all."""
        self._stages.clear()
        self._keys.clear()
        self._advancing.clear()
        self.items = self.generators = 0

    def may_wait(self, task: Task) -> bool:
        """Say whether a task may wait for another child: it needs no generator, and no task that waits keeps one."""
        return not self.generators and task.kind is not Kind.ADVANCE and task.kind is not Kind.DISCARD

    def find_timeout(self, progress: ProgressSnapshot) -> tuple[float, float]:
        """Return the time-out of what the child is at, in seconds, and when it has had that."""
        stage = None if progress.task is None else self._stages.get(progress.task)
        if progress.begun_ns is not None and progress.begun_ns < self._excused_ns:
            progress = progress._replace(begun_ns=self._excused_ns)
        return find_timeout(self._program, stage, progress)

    def excuse_stopped(self, pid: int) -> bool:
        """Say whether the child is stopped, so that it cannot work; the item then has its time anew."""
        stopped = is_stopped(pid)
        if stopped:
            self._excused_ns = time.monotonic_ns()
        return stopped

    def locate(self, progress: ProgressSnapshot) -> Owner:
        """Return the node and the key of the item that the child is at, as far as there is one."""
        resource = self.name_resource(progress)
        if resource:
            return f"resource {resource!r}", None
        if progress.task is None or progress.task not in self._stages:
            return "", None
        call = self._program.stages[self._stages[progress.task]].calls[progress.node or 0]
        if progress.position is None:
            return call.node, None
        key = key_at(self._keys[progress.task], progress.position)
        return call.node, key if progress.child is None else (*key, progress.child)

    def blame(self, lost: Lost, progress: ProgressSnapshot) -> None:
        """Say in a report which item is at fault; a task that had been answered is not what the child died of.

        A child does one task after the other. So if it was at none, it was between two calls: the first one that has
        not been answered is suspected, since it may have been about to come in or its results about to go out.
        """
        if progress.task is None or progress.task not in self._stages:
            lost.task = next(iter(self._stages), None)
            lost.suspected = lost.task is not None
            return
        lost.task = progress.task
        progress.tell_place(lost, self._program.stages[self._stages[progress.task]])

    def describe_making(self, progress: ProgressSnapshot) -> str:
        """Return what to say of the resource that the child was making, or of the setup; "" if none."""
        if name := self.name_resource(progress):
            return f", while it made the resource {name!r}"
        names = (spec.name for spec in self._program.setups if progress.resource is not None)
        name = next((name for name in names if mark_resource(name) == progress.resource), "")
        return f", while it called the setup {name!r}" if name else ""

    def name_resource(self, progress: ProgressSnapshot) -> str:
        """Return the name of the resource that the child is making; "" if none."""
        mark = progress.resource
        arguments = (a for stage in self._program.stages.values() for call in stage.calls for a in call.arguments)
        specs = (a.resource for a in arguments if mark is not None and a.resource is not None)
        return next((spec.name for spec in specs if mark_resource(spec.name) == mark), "")


def count_items(task: Task) -> int:
    """Return how many items a task is for, also of one that is sealed."""
    return sum(count for *_, count in task.keys)
