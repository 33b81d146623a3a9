"""The calls of one task: their arguments put together, their failures described, settled and counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from papympi.errors import ItemTimeout, RemoteError
from papympi.model.item import DROP, Failure, Key, seal_error
from papympi.model.telling import describe, describe_kind, tell_error
from papympi.model.tracebacks import strip, tell_traceback
from papympi.plan.program import Call, ResourceSpec, Stage
from papympi.transport.payload import Payload, Unsendable
from papympi.transport.task import Outcome, Output, Task
from papympi.workers.evaluation.alarm import NS, Abandoned, Overdue, call_timed
from papympi.workers.evaluation.attempt import Tried
from papympi.workers.evaluation.columns import (
    Arguments,
    Column,
    has_failures,
    is_gathered,
    is_plain,
    key_at,
    load_column,
    positions_of,
    without_failed,
)
from papympi.workers.evaluation.context import WorkerContext
from papympi.workers.evaluation.location import at
from papympi.workers.evaluation.programs import tell_program
from papympi.workers.evaluation.progress import COUNT, INDEX, NODE, NOTHING
from papympi.workers.host import format_memory

RESOURCE_SHARE: Final = 10
"""So many times as long as an item a resource may take to be made."""


class Calls:
    """The calls of one task.

    Attributes:
        worker: what the worker's tasks share.
        failures: those born in it.
        calls: for each call of the stage, for how many items its function was called.
        drops: for each call of the stage, how many items it dropped.
        spent: for each call of the stage, if it has several, how many seconds it has taken.
        again: positions whose item failed and is tried again later.
        attempts: how often positions were tried before.
        key_of: returns the key of a position.
        number: of a scatter or fold: which call of the stage it is.
        early: outputs that are made, by column.
        opened: values of payloads, by the payload's id, that are opened in another way.
    """

    def __init__(self, worker: WorkerContext, task: Task, stage: Stage) -> None:
        self.worker = worker
        self.task = task
        self.stage = stage
        self.failures: list[Failure] = []
        self.calls = [0] * len(stage.calls)
        self.drops = [0] * len(stage.calls)
        self.spent = [0.0] * len(stage.calls) if len(stage.calls) > 1 else []
        self.again: list[int] = []
        self.attempts = task.attempts
        self.key_of: Callable[[int], Key] = partial(key_at, task.keys)
        self.number = 0
        self.early: dict[int, Output] = {}
        self.opened: dict[int, list[Any]] = {}

    def open_outcome(self) -> Outcome:
        """Return the task's outcome, which the calls fill."""
        return Outcome(self.task.id, [], 0.0, self.calls, self.drops, self.spent, self.failures, again=self.again)

    def load(self) -> list[Column]:
        """Return the task's columns; what could not come becomes a failure of the first call that needs it."""
        return [self._load(number, slices) for number, slices in enumerate(self.task.columns)]

    def bind(self, call: Call, columns: list[Column]) -> Arguments:
        """Return the arguments of a call by position."""
        views = [self._view(call, columns[a.column]) if a.column is not None else None for a in call.arguments]
        return Arguments(views, self.task.count, self.worker.find_copied(self.stage, call))

    def culprits_of(self, call: Call) -> dict[tuple[int, int], Failure]:
        """Return the failures that take the place of this call at some positions."""
        culprits = self.task.culprits
        if not culprits:
            return culprits
        nodes = {call.node for call in self.stage.calls}
        return {
            place: failure
            for place, failure in culprits.items()
            if failure.node == call.node or failure.node not in nodes
        }

    def take_resources(self, call: Call) -> tuple[dict[int, Any], BaseException | None]:
        """Return the resources of a call by the number of their argument, or why one cannot be had."""
        made = {}
        for number, argument in enumerate(call.arguments):
            if argument.resource is not None:
                made[number], error = self._take_resource(call, argument.resource)
                if error is not None:
                    return {}, error
        return made, None

    def _take_resource(self, call: Call, spec: ResourceSpec) -> Tried:
        """Return a resource, which may take longer than an item to be made, but not for ever."""
        resources, number = self.worker.resources, next(at for at, each in enumerate(self.stage.calls) if each is call)
        if not call.timeout or resources.has(spec):
            return resources.take(spec)
        tried, late = self.attempt_for(number, NOTHING, resources.take, spec, share=RESOURCE_SHARE)
        return (None, late) if late is not None else tried

    def fail(self, call: Call, key: Key, error: BaseException, given: Sequence[Any] = (), attempts: int = 1) -> Failure:
        """Return the failure that an exception makes of an item."""
        error = self._translate(call, error)
        told, late = self.attempt_here(call, self._tell, call, error, given)
        if late is not None:
            error = RemoteError(describe_kind(error), f"<what it says and holds could not be told: {tell_error(late)}>")
            told = f"{error}\n", ""
        text, found = told
        if issubclass(type(error), MemoryError) and self.worker.memory:
            text += f"The worker may allocate {format_memory(self.worker.memory)}, as its pool's option memory says.\n"
        worker = self.worker.label
        place = call.find_inner_key(key)
        return Failure(call.node, key[: call.depth], strip(error), text, found, worker, attempts, place=place)

    def _tell(self, call: Call, error: BaseException, given: Sequence[Any]) -> tuple[str, str]:
        """Return what is said of an exception, and of what the function was given."""
        if call.timeout and self.worker.sends:
            seal_error(error)  # as will be done when nobody looks at the time
        return tell_traceback(error, call.function) + tell_program(error), _describe(given)

    def _translate(self, call: Call, error: BaseException) -> BaseException:
        """Return the error as users know it; a worker that was given up ends here."""
        kind = type(error)  # what the exception itself says of its class does not matter
        if issubclass(kind, Abandoned):
            raise error
        if issubclass(kind, MemoryError) and self.worker.memory:
            self.worker.exhausted = True
        if not issubclass(kind, Overdue):
            return error
        seconds = (call.timeout or 0.0) * self.worker.progress.slots[COUNT]
        return ItemTimeout(seconds).with_traceback(error.__traceback__)

    def complete(self, call: Call, failure: Failure, given: Sequence[Any]) -> Failure:
        """Return the failure that a lost worker has made, with what the function was given."""
        return failure if failure.input else replace(failure, input=self.attempt_here(call, _describe, given)[0] or "")

    def settle_lost(self, number: int, position: int, failure: Failure, given: Sequence[Any]) -> Any:
        """Return what takes the place of an item that a worker was lost at; meanwhile the record says it is at work."""
        slots, call = self.worker.progress.slots, self.stage.calls[number]
        before = slots[NODE], slots[INDEX]
        self.worker.progress.at(number, position)
        value = self.settle(call, self.complete(call, failure, given))
        slots[NODE], slots[INDEX] = before
        return value

    def settle(self, call: Call, failure: Failure) -> Any:
        """Count a failure; return what takes the item's place: the failure, `DROP`, or what heals it."""
        value = self.heal(call, failure)
        if type(value) is not Failure or value is failure:
            self.failures.append(failure)
        return value

    def heal(self, call: Call, failure: Failure) -> Any:
        """Return what takes the failed item's place; the failure of the healing itself is counted."""
        if call.on_error == "fail":
            return failure
        if call.on_error == "drop":
            return DROP
        with at(replace(self.worker.outside, node=call.node, key=failure.key)):
            value, error = self.attempt_here(call, call.on_error, failure)
        if error is not None:
            value = self.fail(call, failure.key, error, [failure])
            self.failures.append(value)
        return value

    def may_drop(self, call: Call, position: int, failure: Failure) -> bool:
        """Say whether a failure that arrives is an item's, which may be dropped, and not that of the item's parent."""
        return failure.node == call.node or len(failure.key) >= (call.level or len(self.key_of(position)))

    def fail_call(self, call: Call, position: int, error: BaseException, given: Sequence[Any] = ()) -> Any:
        """Return what takes the place of the item whose call raised `error`; nothing does yet if it is tried again."""
        error, attempts = self._translate(call, error), self.attempts.get(position, 0)
        if call.may_retry(error, attempts):
            self.again.append(position)
            return None
        return self.settle(call, self.fail(call, self.key_of(position), error, given, attempts + 1))

    def fail_all(self, call: Call, positions: Sequence[int], error: BaseException) -> list[Any]:
        """Return what takes the places of items that all fail for one reason."""
        trace = error.__traceback__  # a failure takes it off the error
        return [self.fail_call(call, at, BaseException.with_traceback(error, trace)) for at in positions]

    def adopt(self, call: Call, position: int, failure: Failure) -> Failure:
        """Return a failure that the function itself returned as one of this call."""
        key = self.key_of(position)
        own = Failure(call.node, key[: call.depth], failure.error, failure.traceback, failure.input, self.worker.label)
        self.failures.append(own)
        return own

    def fail_finally(self, call: Call, position: int, error: BaseException) -> Failure:
        """Return the failure of what heals an item, or of another last resort."""
        failure = self.fail(call, self.key_of(position), error)
        self.failures.append(failure)
        return failure

    def attempt_for(
        self, number: int, position: int, function: Callable[..., Any], *args: Any, share: int = 1
    ) -> Tried:
        """Return what a function that a call needs beside its own has returned or raised; its time-out is the call's.

        Args:
            number: of the call.
            position: of the item that it is for; `NOTHING`: for all of the task.
            share: so many times the time-out.
        """
        slots = self.worker.progress.slots
        before = slots[NODE], slots[INDEX], slots[COUNT]
        self.worker.progress.at(number, position, share)
        tried = self.attempt_here(self.stage.calls[number], function, *args, share=share)
        slots[NODE], slots[INDEX], slots[COUNT] = before
        return tried

    def attempt_here(self, call: Call, function: Callable[..., Any], *args: Any, share: int = 1) -> Tried:
        """Do the same for the item that is at work."""
        if not call.timeout:
            return self.worker.attempt(function, *args)
        slots, seconds = self.worker.progress.slots, call.timeout * share
        with self.worker.alarm(seconds):
            value, error = self.worker.attempt(call_timed, function, args, slots, round(seconds * NS))
        late = error is not None and type(error) is Overdue
        return value, ItemTimeout(seconds).with_traceback(error.__traceback__) if late and error else error

    def _load(self, number: int, slices: list[Any]) -> Column:
        values = load_column(slices, self._open)
        if is_gathered(slices):
            return Column(self._replace_unsendable_members(number, values), self.task.valid, gathered=True)
        column = Column(values, self.task.valid)
        if not is_plain(slices) and has_failures(values):
            column.values = values = list(values)
            for position in positions_of(column.present, len(values)):
                value = values[position] = self._replace_unsendable(number, position, values[position])
                if type(value) is Failure:
                    column.failed |= 1 << position
        return column

    def _open(self, payload: Payload) -> list[Any]:
        if id(payload) in self.opened:
            return self.opened[id(payload)]
        values, error = self.attempt_for(0, NOTHING, payload.open)
        if error is not None:
            _, damage = self.attempt_for(0, NOTHING, payload.salvage, error)
            return payload.values() if payload.is_spoiled() else [Unsendable(damage or error)] * payload.count
        return values or []

    def _replace_unsendable(self, column: int, position: int, value: Any) -> Any:
        if type(value) is not Unsendable:
            return value
        call = next(call for call in self.stage.calls if any(a.column == column for a in call.arguments))
        raw = issubclass(type(value.error), (Overdue, ItemTimeout, MemoryError))
        return self.fail_finally(call, position, value.error if raw else value.explain())

    def _replace_unsendable_members(self, column: int, lists: list[list[Any]]) -> list[list[Any]]:
        for position, members in enumerate(lists):
            if has_failures(members):
                lists[position] = [self._replace_unsendable(column, position, member) for member in members]
        return lists

    def _view(self, call: Call, column: Column) -> Column:
        """Return a gathered column as a call sees it: without failed members, or failed where one is.

        The lists are the call's own: it may change them.
        """
        if not column.gathered:
            return column
        return without_failed(column, lambda at, member: call.skip_failed and self.may_drop(call, at, member))

    def spend(self, number: int, begin: float) -> None:
        """Note that a call has had the time since a moment of `time.perf_counter`."""
        if self.spent:
            self.spent[number] += time.perf_counter() - begin

    def count(self, number: int, arguments: Arguments, positions: Sequence[int], before: int) -> None:
        """Count a call that was made for some positions; of those that are tried again since `before` nothing yet."""
        again = self.again[before:]
        if self.stage.calls[number].counts == "members":
            members = arguments.count_members
            self.calls[number] += sum(map(members, positions)) - sum(map(members, again))
        else:
            self.calls[number] += len(positions) - len(again)


def _describe(given: Sequence[Any]) -> str:
    """Return what a function was given, in few words."""
    return ", ".join(describe(value) for value in given)[:1000]
