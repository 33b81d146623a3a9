"""What the tasks of one worker share; its resources are made when a call first needs them, taken down at its end."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Generator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final

from papympi.errors import StateError
from papympi.model.item import Failure
from papympi.model.telling import tell_error
from papympi.model.tracebacks import tell_traceback
from papympi.plan.program import Call, ResourceSpec, Stage
from papympi.transport.task import Outcome
from papympi.workers.evaluation.alarm import Overdue, TimeoutAlarm
from papympi.workers.evaluation.attempt import Attempt
from papympi.workers.evaluation.copies import find_copied
from papympi.workers.evaluation.location import FixedLocation, at
from papympi.workers.evaluation.progress import NOTHING, RESOURCE, ProgressRecord, mark_resource

_END: Final = object()
_LINE: Final = 500
"""So much of what a resource has raised is told at the end of the run."""


class Resources:
    """The resources of one worker, or the setups of a process.

    A resource that cannot be made is not tried again: every call that needs it fails with its error.

    Attributes:
        tried: those that were tried since somebody last looked: (name, what it raised in one line; "": it is made).

    Args:
        slots: of the worker's progress record, where a resource is noted while it is made.
        outside: the place of what the worker does for no item.
        kind: what messages call them.
    """

    def __init__(
        self, attempt: Attempt, slots: memoryview[int], outside: FixedLocation, kind: str = "resource"
    ) -> None:
        self._kind = kind
        self._attempt = attempt
        self._slots = slots
        self._outside = outside
        self._made: dict[str, tuple[Any, BaseException | None, TracebackType | None]] = {}
        self.tried: list[tuple[str, str]] = []
        self._open: list[tuple[ResourceSpec, Generator[Any]]] = []

    def has(self, spec: ResourceSpec) -> bool:
        """Say whether a resource has been made, or cannot be."""
        return spec.name in self._made

    def take(self, spec: ResourceSpec) -> tuple[Any, BaseException | None]:
        """Return the resource, made now if need be, or the error that it could not be made for."""
        made = self._made.get(spec.name)
        if made is None:
            made = self._make(spec)
            if type(made[1]) is not Overdue:  # the next item may have better luck
                self._made[spec.name] = made
                self._report(spec, made[1])
        resource, error, trace = made
        return resource, None if error is None else BaseException.with_traceback(error, trace)

    def close(self) -> None:
        """Take the resources down, the last first; what goes wrong is logged."""
        while self._open:
            spec, generator = self._open.pop()
            with self._at(spec.name):
                more, error = self._attempt(next, generator, _END)
                if error is None and more is not _END:
                    error = StateError("it yields more than once")
                if error is not None:
                    told = tell_traceback(error, spec.function).rstrip()
                    logging.getLogger(f"papympi.{self._kind}s").error("it could not be taken down\n%s", told)
        self._made.clear()

    def _at(self, name: str) -> Any:
        """Return a block in which one is at work."""
        return at(replace(self._outside, node=f"{self._kind} {name!r}"))

    def _make(self, spec: ResourceSpec) -> tuple[Any, BaseException | None, TracebackType | None]:
        """Make a resource; while that goes on, the progress record says so."""
        self._slots[RESOURCE] = mark_resource(spec.name)
        with self._at(spec.name):
            resource, error = self._attempt(self._call, spec)
        self._slots[RESOURCE] = NOTHING
        return resource, error, None if error is None else error.__traceback__

    def _report(self, spec: ResourceSpec, error: BaseException | None) -> None:
        """Note what has come of a resource; the exception says from now on what could not be made."""
        if error is None:
            self.tried.append((spec.name, ""))
            return
        self.tried.append((spec.name, tell_error(error, _LINE).partition("\n")[0]))
        if self._kind == "resource":  # a setup that raises is an error of its own, which names it
            self._attempt(error.add_note, f"The resource {spec.name!r} could not be made.")

    def _call(self, spec: ResourceSpec) -> Any:
        if not inspect.isgeneratorfunction(spec.function):
            return spec.function()
        generator = spec.function()
        resource = next(generator, _END)
        if resource is _END:
            raise StateError(f"{self._kind} {spec.name!r} is a generator function that yields nothing")
        self._open.append((spec, generator))
        return resource


@dataclass(eq=False)
class WorkerContext:
    """What every task of one worker shares.

    Attributes:
        attempt: calls a function and returns (result, error).
        label: what failures call the worker.
        progress: where to say what it is at, so that its death names a culprit.
        outside: the place of what it does for no item.
        sends: results leave this process: what cannot be pickled fails.
        memory: how many bytes it may allocate; 0: as many as there are.
        chunks: how many children that do not leave a task are taken at a time, by the numbers of stage and scatter.
        exhausted: a call has got no memory since somebody last looked.
        known: classes of which a value was seen to come out of its pickle.
    """

    attempt: Attempt
    label: str
    progress: ProgressRecord
    outside: FixedLocation
    sends: bool
    memory: int

    def __post_init__(self) -> None:
        self.resources = Resources(self.attempt, self.progress.slots, self.outside)
        self.exhausted = False
        self.chunks: dict[tuple[int, int], int] = {}
        self.known: set[type] = {int, float, complex, bool, str, bytes, bytearray}
        self.known |= {tuple, list, dict, set, type(None), Failure}
        self._copied: dict[int, dict[int, frozenset[int]]] = {}

    def find_copied(self, stage: Stage, call: Call) -> frozenset[int]:
        """Return the numbers of the arguments of which a call gets copies."""
        copied = self._copied.get(id(stage))
        if copied is None:
            copied = self._copied[id(stage)] = find_copied(stage, sends=self.sends)
        return copied[id(call)]

    def alarm(self, seconds: float) -> TimeoutAlarm:
        """Return what interrupts an item that takes longer, and ends its programs."""
        return TimeoutAlarm(self.progress, seconds)

    def begin(self, task: int) -> None:
        """Note that a task begins."""
        self.progress.begin(task)
        self.progress.programs.begin()

    def finish(self, outcome: Outcome) -> None:
        """Note that it is over; its outcome says which resources were tried."""
        self.progress.done()
        self.progress.programs.finish()
        if self.resources.tried:
            tried, self.resources.tried = self.resources.tried, []
            outcome.resources = [(name, self.label, text) for name, text in tried]

    def close(self) -> None:
        """Take the resources down, and end the programs that are left."""
        self.resources.close()
        self.progress.programs.close()

    def take_exhausted(self) -> bool:
        """Return `exhausted`, and take it back."""
        exhausted, self.exhausted = self.exhausted, False
        return exhausted
