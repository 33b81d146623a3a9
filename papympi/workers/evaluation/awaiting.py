"""Evaluates tasks in an event loop: many at the same time, each where its functions do not wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from papympi.plan.program import Call, Program
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.evaluation.arguments import Arguments, to_positional
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Column, positions_of
from papympi.workers.evaluation.crowd import Crowd, Place, Room
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.location import at
from papympi.workers.evaluation.progress import COUNT, INDEX, MemoryCell
from papympi.workers.evaluation.steps import Steps, T, Tried
from papympi.workers.evaluation.walking import Walk
from papympi.workers.evaluation.work import Work


class AwaitingEvaluator(Evaluator):
    """Evaluates tasks at the same time, in one thread with an event loop.

    An async function is awaited for all items of a batch at once. What came of each is kept, and then the batch is
    evaluated as by any worker: the function that it calls only recalls. Folds and scatters wait between their steps.

    Args:
        program: the stages.
        label: what failures call the worker.
        cell: where to say which item keeps the loop.
        room: how many items may be awaited at the same time.
    """

    def __init__(self, program: Program, label: str, cell: MemoryCell, room: int) -> None:
        self._recalled: dict[tuple[int, int], Tried] = {}
        super().__init__(program, label, cell, encodes=False)
        self._room = Room(self._bench.attempt, cell.slots, room)

    async def evaluate(self, task: Task) -> Outcome:
        """Return the task's outcome; of a DISCARD it is empty and nobody wants it."""
        if task.kind is Kind.DISCARD:
            await self._forget(task.generator)
            return Outcome(task.id)
        begin, calls = time.perf_counter(), self._begin(task)
        outcome = calls.open_outcome()
        with at(self._work):
            if task.kind is Kind.CALL:
                columns = await self._await_columns(calls, self._work)
                outcome.outputs = [self._to_output(calls, number, columns[number]) for number in calls.stage.outputs]
            else:
                column = await self._walk(calls, self._take_steps(calls, outcome))
                outcome.outputs = [self._to_output(calls, calls.stage.inputs, column)]
        return self._end(outcome, begin)

    async def clean_up(self) -> None:
        """Close the generators that stand suspended, once nothing else goes on."""
        self._room.closed = False
        for number in list(self._generators):
            await self._forget(number)

    def give_up(self) -> None:
        """Go on with nothing that is not cancelled; from any thread."""
        self._room.closed = True

    def _prepare(self, call: Call) -> Callable[..., Any]:
        return self._recall if call.awaits else to_positional(call)

    def _recall(self, *_: Any) -> Any:
        """Return what the async function has returned at the position in the cell, or raise what it has raised."""
        slots = self._bench.cell.slots
        result, error = self._recalled[slots[INDEX], slots[COUNT]]
        if error is not None:
            raise error
        return result

    async def _await_columns(self, calls: Calls, work: Work) -> list[Column]:
        if calls.stage.inner:  # nothing in it is async
            return self._call(calls)
        columns = calls.load()
        for number, call in enumerate(calls.stage.calls):
            arguments = calls.bind(call, columns)
            if call.awaits:
                recalled = await self._await_call(calls, number, call, arguments)
                self._bench.cell.begin(calls.task.id)
                self._recalled, self._work = recalled, work
            columns.append(self._evaluate(calls, number, call, arguments))
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
        self._bench.cell.done()
        crowd = Crowd()
        if error is None and call.vectorized:
            await self._await_vector(calls, number, arguments, resources, positions, crowd)
        elif error is None:
            function = to_positional(call)
            for position, row in zip(positions, arguments.rows(positions, resources), strict=True):
                place = Place(calls, number, position, 1)
                await crowd.admit(self._room, place, (function, row), call.timeout or 0.0)
            await crowd.wait()
        return crowd.tried

    async def _await_vector(
        self,
        calls: Calls,
        number: int,
        arguments: Arguments,
        resources: dict[int, Any],
        positions: Sequence[int],
        crowd: Crowd,
    ) -> None:
        """Await a vectorized function, and if it raises, for each half of the items."""
        call, count = calls.stage.calls[number], len(positions)
        if not count:
            return
        vectors = arguments.vectors(positions, resources)
        own = tuple(vector if i in resources else vector[:] for i, vector in enumerate(vectors))
        place = Place(calls, number, positions[0], count)
        job = (_await_list, (to_positional(call), own))
        await crowd.admit(self._room, place, job, (call.timeout or 0.0) * count)
        await crowd.wait()
        if crowd.tried[positions[0], count][1] is not None and count > 1:
            for half in (positions[: count // 2], positions[count // 2 :]):
                await self._await_vector(calls, number, arguments, resources, half, crowd)

    async def _walk(self, calls: Calls, steps: Steps[T]) -> T:
        """Take every step of a fold or a scatter, awaiting what is async; return what the last one makes."""
        awaits, tried = calls.stage.calls[0].awaits, None
        walk = Walk(self._room, calls)
        while True:
            self._bench.cell.begin(calls.task.id)
            try:
                job = next(steps) if tried is None else steps.send(tried)
            except StopIteration as end:
                result: T = end.value
                return result
            if awaits:
                self._bench.cell.done()
                tried = await walk.do(*job)
            else:
                tried = self._bench.attempt(*job)

    async def _forget(self, number: int) -> None:
        suspended = self._generators.pop(number, None)
        if suspended is not None:
            await self._walk(suspended.calls, suspended.closing())


async def _await_list(function: Callable[..., Any], vectors: Sequence[Any]) -> list[Any]:
    """Return the results of a vectorized function."""
    return list(await function(*vectors))
