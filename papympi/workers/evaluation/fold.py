"""A fold on its worker: an accumulator goes through the items in order and comes out at the end of each parent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

from papympi.model.item import Failure, Key
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.task import Outcome
from papympi.workers.evaluation.alarm import NS, call_timed
from papympi.workers.evaluation.attempt import Steps
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Column, mark_column, positions_of
from papympi.workers.evaluation.location import at
from papympi.workers.evaluation.progress import INDEX, NOTHING

_FRESH: Final = object()


def fold(calls: Calls, function: Callable[..., Any], outcome: Outcome) -> Steps[Column]:
    """Fold the positions of a task; return the results of the parents that end in it, leave the rest in `outcome`."""
    run = Fold(calls, function, calls.stage.factory)
    run.take(calls, calls.load())
    if calls.task.state is not None:
        run.go_on(calls.task.state)
    results, start = [], 0
    for end in calls.task.ends:
        yield from run.fold(start, end)
        results.append(run.finish())
        start = end
    if start < calls.task.count:
        yield from run.fold(start, calls.task.count)
        outcome.state = run.state()
    calls.key_of = run.parents.__getitem__  # not a function that knows the run, which knows `calls`: a circle
    return mark_column(results, FULL)


class Fold:
    """The accumulator of a call and its way through the items of one parent after the other.

    Attributes:
        parents: keys of the parents that were finished.
    """

    def __init__(self, calls: Calls, function: Callable[..., Any], factory: Callable[[], Any] | None) -> None:
        self._call = calls.stage.calls[calls.number]
        self._function = function
        self._factory = factory
        self._accumulator: Any = _FRESH
        self.parents: list[Key] = []
        self._key: Key = ()
        self._is_final = False
        self._at = NOTHING

    def take(self, calls: Calls, columns: list[Column]) -> None:
        """Be given the next items."""
        self._calls = calls
        self._arguments = calls.bind(self._call, columns)
        self._culprits = {position: failure for (position, _), failure in calls.culprits_of(self._call).items()}
        self._last = {position for position, last in calls.culprits_of(self._call) if last}

    def go_on(self, state: Payload) -> None:
        """Take up an accumulator."""
        values, error = self._calls.worker.attempt(state.values)
        self._accumulator = values[0] if error is None else self._calls.fail(self._call, self._calls.key_of(0), error)

    def fold(self, start: int, end: int) -> Steps[None]:
        """Fold the positions start..end, which belong to one parent."""
        self._is_final |= any(start <= position < max(end, start + 1) for position in self._last)
        if start == end:
            return
        self._key = self._calls.key_of(start)[:-1]
        self._at = start
        present, failed = self._look_at((1 << end) - (1 << start), end)
        for position in self._culprits:
            failed |= 1 << position & present
        first = (failed & -failed).bit_length() - 1  # -1: none failed
        if first >= 0:
            self._at = first
            present &= (1 << first) - 1
        yield from self._fold_healthy(list(positions_of(present, end)))
        if first >= 0 and (self._is_final or type(self._accumulator) is not Failure):
            if first in self._culprits:
                self._become(self._calls.complete(self._call, self._culprits[first], self._arguments.given(first)))
            else:
                self._accumulator = self._arguments.first_failure(first)

    def _look_at(self, window: int, end: int) -> tuple[int, int]:
        """Return which of some positions are there, and which have failed; failures that it drops are neither."""
        present, failed = self._arguments.present & window, self._arguments.failed & window
        if self._call.skip_failed or self._call.on_error == "drop":
            for position in positions_of(failed, end):
                if self._calls.may_drop(self._call, position, self._arguments.first_failure(position)):
                    present, failed = present & ~(1 << position), failed & ~(1 << position)
        return present, failed

    def finish(self, key: Key | None = None) -> Any:
        """Return the result of the parent that ends here, and begin afresh; `key` is its key if there are no items."""
        if key is not None:
            self._key = key
        self._start()
        result, self._accumulator = self._accumulator, _FRESH
        self.parents.append(self._key)
        self._key = ()
        is_final, self._is_final = self._is_final, False
        at_work, self._at = self._at, NOTHING
        if type(result) is Failure and result.node == self._call.node and not is_final:
            self._calls.worker.progress.at(self._calls.number, at_work)
            return self._calls.heal(self._call, result)
        return result

    def state(self) -> Payload | None:
        """Return the accumulator of the parent that stays open."""
        if self._accumulator is _FRESH:
            return None
        payload = Payload([self._accumulator])
        if self._calls.worker.sends:
            _, error = self._calls.worker.attempt(payload.encode)
            if error is not None:
                self._become(self._calls.fail(self._call, self._key, error))
                return Payload([self._accumulator])
        return payload

    def _start(self) -> None:
        """Make an accumulator if there is none."""
        if self._accumulator is _FRESH and self._factory is not None:
            with at(replace(self._calls.worker.outside, node=self._call.node, key=self._key)):
                self._accumulator, error = self._calls.attempt_for(self._calls.number, NOTHING, self._factory)
            if error is not None:
                self._become(self._calls.fail(self._call, self._key, error))

    def _become(self, failure: Failure) -> None:
        """Let a failure that was born here be the result; the rest of the parent passes uncalled."""
        self._calls.failures.append(failure)
        self._accumulator = failure

    def _fold_healthy(self, positions: list[int]) -> Steps[None]:
        if not positions or type(self._accumulator) is Failure:
            return
        self._start()
        calls, call = self._calls, self._call
        resources, error = calls.take_resources(call)
        box = [self._accumulator, positions[0]]
        if error is None and type(self._accumulator) is not Failure:
            rows = zip(positions, self._arguments.rows(positions, resources), strict=True)
            calls.worker.progress.at(calls.number, positions[0])
            alarm = calls.worker.alarm(call.timeout) if call.timeout else nullcontext()
            limit = round((call.timeout or 0.0) * NS)
            with alarm:
                _, error = yield fold_rows, self._function, box, rows, calls.worker.progress.slots, limit
            self._accumulator = box[0]
        elif error is None:
            return  # there is no accumulator to call the function with
        position = box[1] if error is not None else positions[-1]
        calls.calls[calls.number] += positions.index(position) + 1
        if error is not None:
            self._become(calls.fail(call, calls.key_of(position), error, self._arguments.given(position)))


def fold_rows(
    function: Callable[..., Any],
    box: list[Any],
    rows: Iterable[tuple[int, tuple[Any, ...]]],
    slots: memoryview[int],
    limit_ns: int,
) -> None:
    """Fold rows into `box[0]`, with the position at work in `box[1]`; each has so many nanoseconds, 0: any number."""
    for position, row in rows:
        box[1] = slots[INDEX] = position
        if limit_ns:
            box[0] = call_timed(function, (box[0], *row), slots, limit_ns)
        else:
            box[0] = function(box[0], *row)
