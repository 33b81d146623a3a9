"""Evaluates tasks in an event loop: many at the same time, each where its functions do not wait."""

from __future__ import annotations

import contextvars
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from papympi.plan.program import Call, Program
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.evaluation.async_blocking import END, take_next
from papympi.workers.evaluation.async_call import AsyncLimit, CallGroup, CallPlace
from papympi.workers.evaluation.attempt import Steps, T, Tried
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.careful import open_carefully
from papympi.workers.evaluation.columns import Arguments, Column, positions_of, to_positional
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.fold import fold_rows
from papympi.workers.evaluation.location import at
from papympi.workers.evaluation.outputs import make_output, make_outputs
from papympi.workers.evaluation.progress import CHILD, COUNT, INDEX, NOTHING, ProgressRecord
from papympi.workers.evaluation.scatter import close_children, open_children, take, take_timed
from papympi.workers.evaluation.task_location import TaskLocation


class AwaitingEvaluator(Evaluator):
    """Evaluates tasks at the same time, in one thread with an event loop.

    An async function is awaited for all items of a batch at once. What came of each is kept, and then the batch is
    evaluated as by any worker: the function that it calls only recalls. Folds and scatters wait between their steps.

    Args:
        progress: where to say which item keeps the loop.
        size: how many items may be awaited at the same time.
    """

    def __init__(self, program: Program, label: str, progress: ProgressRecord, size: int) -> None:
        self._recalled: dict[tuple[int, int], Tried] = {}
        super().__init__(program, label, progress, encodes=False)
        self._limit = AsyncLimit(self._worker.attempt, progress.slots, size)

    async def evaluate(self, task: Task) -> Outcome:
        """Return the task's outcome; of a DISCARD it is empty and nobody wants it."""
        if task.kind is Kind.DISCARD:
            await self._forget(task.generator)
            return Outcome(task.id)
        begin, calls = time.perf_counter(), self._begin(task)
        outcome = calls.open_outcome()
        with at(self._location):
            if task.careful:
                open_carefully(calls)
            if task.kind is Kind.CALL:
                columns = await self._await_columns(calls, self._location)
                outcome.outputs = make_outputs(calls, columns)
            else:
                column = await self._run_steps(calls, self._take_steps(calls, outcome))
                outcome.outputs = [make_output(calls, calls.stage.inputs, column)]
        return self._end(outcome, begin)

    async def clean_up(self) -> None:
        """Close the generators that stand suspended, once nothing else goes on."""
        self._limit.closed = False
        for number in list(self._generators):
            await self._forget(number)

    def give_up(self) -> None:
        """Go on with nothing that is not cancelled; from any thread."""
        self._limit.closed = True

    def _prepare(self, call: Call) -> Callable[..., Any]:
        return self._recall if call.awaits else to_positional(call)

    def _recall(self, *_: Any) -> Any:
        """Return what the async function has returned at the recorded position, or raise what it has raised."""
        slots = self._worker.progress.slots
        result, error = self._recalled[slots[INDEX], slots[COUNT]]
        if error is not None:
            raise error
        return result

    async def _await_columns(self, calls: Calls, location: TaskLocation) -> list[Column]:
        if calls.stage.inner:  # nothing in it is async
            return self._call(calls)
        columns = calls.load()
        for number, call in enumerate(calls.stage.calls):
            begin = time.perf_counter()
            arguments = calls.bind(call, columns)
            if call.awaits:
                recalled = await self._await_call(calls, number, call, arguments)
                self._worker.progress.begin(calls.task.id)
                self._recalled, self._location = recalled, location
            columns.append(self._evaluate(calls, number, call, arguments))
            calls.spend(number, begin)
            self._recalled = {}
        return columns

    async def _await_call(
        self, calls: Calls, number: int, call: Call, arguments: Arguments
    ) -> dict[tuple[int, int], Tried]:
        """Return what comes of an async call, by position and number of items."""
        culprits = {position for position, _ in calls.culprits_of(call)}
        healthy = positions_of(arguments.present & ~arguments.failed, calls.task.count)
        positions = [position for position in healthy if position not in culprits]
        resources, error = calls.take_resources(call)
        self._worker.progress.done()
        group = CallGroup()
        if error is None and call.vectorized:
            await self._await_vector(calls, number, arguments, resources, positions, group)
        elif error is None:
            function = to_positional(call)
            for position, row in zip(positions, arguments.rows(positions, resources), strict=True):
                place = CallPlace(calls, number, position, 1)
                await group.admit(self._limit, place, (function, *row), call.timeout or 0.0)
            await group.wait()
        return group.tried

    async def _await_vector(
        self,
        calls: Calls,
        number: int,
        arguments: Arguments,
        resources: dict[int, Any],
        positions: Sequence[int],
        group: CallGroup,
    ) -> None:
        """Await a vectorized function, and if it raises, for each half of the items."""
        call, count = calls.stage.calls[number], len(positions)
        if not count:
            return
        vectors = arguments.vectors(positions, resources)
        own = tuple(vector if i in resources else list(vector) for i, vector in enumerate(vectors))
        place = CallPlace(calls, number, positions[0], count)
        job = (_await_list, to_positional(call), own)
        await group.admit(self._limit, place, job, (call.timeout or 0.0) * count)
        await group.wait()
        if group.tried[positions[0], count][1] is not None and count > 1:
            for half in (positions[: count // 2], positions[count // 2 :]):
                await self._await_vector(calls, number, arguments, resources, half, group)

    async def _run_steps(self, calls: Calls, steps: Steps[T]) -> T:
        """Take every step of a fold or a scatter, awaiting what is async; return what the last one makes."""
        awaits, tried = calls.stage.calls[0].awaits, None
        async_steps = AsyncSteps(self._limit, calls)
        while True:
            self._worker.progress.begin(calls.task.id)
            try:
                job = next(steps) if tried is None else steps.send(tried)
            except StopIteration as end:
                result: T = end.value
                return result
            if awaits:
                self._worker.progress.done()
                tried = await async_steps.do(*job)
            else:
                tried = self._worker.attempt(*job)

    async def _forget(self, number: int) -> None:
        suspended = self._generators.pop(number, None)
        if suspended is not None:
            await self._run_steps(suspended.calls, suspended.closing())


async def _await_list(function: Callable[..., Any], vectors: Sequence[Any]) -> list[Any]:
    """Return the results of a vectorized function."""
    return list(await function(*vectors))


_DONE: Final[Tried] = (None, None)


class _AsyncChildren(NamedTuple):
    """An async generator, and the context that its code sees all the time."""

    iterator: AsyncIterator[Any]
    context: contextvars.Context


class AsyncSteps:
    """Does the jobs of one fold or scatter."""

    def __init__(self, limit: AsyncLimit, calls: Calls) -> None:
        self._limit = limit
        self._calls = calls
        self._call = calls.stage.calls[0]
        self._timeout = self._call.timeout or 0.0
        self._position = self._child = 0
        self._jobs: dict[Callable[..., Any], Callable[..., Awaitable[Tried]]] = {
            fold_rows: self._fold_rows,
            open_children: self._open,
            close_children: self._close,
            take: self._take,
            take_timed: self._take_timed,
        }

    async def do(self, job: Callable[..., Any], *args: Any) -> Tried:
        """Return what comes of a job; the progress record says for which position it is."""
        position = self._limit.slots[INDEX]
        if position != NOTHING:
            self._position = position
        self._child = self._limit.slots[CHILD]
        return await self._jobs[job](*args)

    async def _fold_rows(
        self, _function: Any, box: list[Any], rows: Iterable[tuple[int, tuple[Any, ...]]], *_: Any
    ) -> Tried:
        function = to_positional(self._call)
        for position, row in rows:
            box[1] = position
            self._position = position
            value, error = await self._await(function, (box[0], *row), self._timeout)
            if error is not None:
                return None, error
            box[0] = value
        return _DONE

    async def _open(self, _function: Any, row: tuple[Any, ...]) -> Tried:
        made, error = self._limit.attempt(to_positional(self._call), *row)
        return (None, error) if error is not None else (_AsyncChildren(made, contextvars.copy_context()), None)

    async def _close(self, children: _AsyncChildren) -> Tried:
        close = getattr(children.iterator, "aclose", None)
        return _DONE if close is None else await self._await(close, (), 0.0, children.context)

    async def _take(self, children: _AsyncChildren, count: int, put: Callable[[Any], Any], *_: Any) -> Tried:
        return await self._await(_take_some, (children.iterator, count, put), 0.0, children.context)

    async def _take_timed(self, children: _AsyncChildren, count: int, put: Callable[[Any], Any], *_: Any) -> Tried:
        for _number in range(count):
            child, error = await self._await(take_next, (children.iterator,), self._timeout, children.context)
            if error is not None or child is END:
                return None, error
            put(child)
            self._child += 1
        return _DONE

    async def _await(
        self,
        function: Callable[..., Any],
        row: tuple[Any, ...],
        timeout: float,
        context: contextvars.Context | None = None,
    ) -> Tried:
        group = CallGroup()
        place = CallPlace(self._calls, 0, self._position, 1, self._child)
        await group.admit(self._limit, place, (function, *row), timeout, context)
        await group.wait()
        return group.tried[self._position, 1]


async def _take_some(iterator: AsyncIterator[Any], count: int, put: Callable[[Any], Any]) -> None:
    """Give at most so many children to `put`."""
    for _ in range(count):
        child = await take_next(iterator)
        if child is END:
            return
        put(child)
