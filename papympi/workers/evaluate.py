"""Evaluates tasks: calls the users' functions and turns whatever they raise into failures.

This is the only place in papympi where every exception is caught, in `attempt`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from papympi.errors import StateError
from papympi.model.item import Failure
from papympi.plan.program import Call, Program
from papympi.transport.task import FULL, Kind, Outcome, Output, Task
from papympi.workers.calls import Arguments, Bench, Calls, CellLike, to_positional
from papympi.workers.cell import INDEX
from papympi.workers.columns import Column, cut_output, mark_column, positions_of
from papympi.workers.fold import fold
from papympi.workers.scatter import Suspended


def attempt(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Return what `function(*args)` returned and what it raised, whatever it is."""
    try:
        return function(*args), None
    except BaseException as error:  # noqa: BLE001 - user code may raise anything, and costs its own item only
        return None, error


def attempt_interruptibly(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Do the same, but let Ctrl-C through to whoever runs the main thread."""
    result, error = attempt(function, *args)
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
    return result, error


class Evaluator:
    """Evaluates the tasks of one worker, one at a time.

    Args:
        program: the stages.
        label: what failures call the worker.
        cell: where to say which item is next.
        generators: where suspended generators are kept; workers that share memory may share it.
        encodes: outcomes leave this process, so that what cannot be pickled is a failure.
        interruptible: Ctrl-C is for the caller and not for the item.
    """

    def __init__(
        self,
        program: Program,
        label: str,
        cell: CellLike | None = None,
        generators: dict[int, Suspended] | None = None,
        *,
        encodes: bool = True,
        interruptible: bool = False,
    ) -> None:
        self._program = program
        self._bench = Bench(attempt_interruptibly if interruptible else attempt, label, cell, sends=encodes)
        self._generators: dict[int, Suspended] = {} if generators is None else generators
        self._owns_generators = generators is None
        self._functions: dict[tuple[int, int], Callable[..., Any]] = {}

    def run(self, task: Task) -> Outcome:
        """Return the task's outcome; of a DISCARD it is empty and nobody wants it."""
        if task.kind is Kind.DISCARD:
            self._discard(task.generator)
            return Outcome(task.id)
        begin, cell = time.perf_counter(), self._bench.cell
        if cell is not None:
            cell.begin(task.id)
        stage = self._program.stages[task.stage]
        calls = Calls(self._bench, task, stage)
        outcome = Outcome(task.id, failures=calls.failures, calls=calls.calls, drops=calls.drops)
        if task.kind is Kind.CALL:
            columns = self._call(calls)
            outcome.outputs = [self._to_output(calls, number, columns[number]) for number in stage.outputs]
        elif task.kind is Kind.FOLD:
            column = fold(calls, self._function(task.stage, 0), outcome)
            outcome.outputs = [self._to_output(calls, stage.inputs, column)]
        else:
            column = self._advance(calls, outcome)
            outcome.outputs = [self._to_output(calls, stage.inputs, column)]
        if cell is not None:
            cell.done()
        outcome.seconds = time.perf_counter() - begin
        return outcome

    def close(self) -> None:
        """Close the suspended generators that are its own and take the resources down."""
        if self._owns_generators:
            for number in list(self._generators):
                self._discard(number)
        self._bench.resources.close()

    def _discard(self, number: int) -> None:
        suspended = self._generators.pop(number, None)
        if suspended is not None:
            suspended.close()

    def _advance(self, calls: Calls, outcome: Outcome) -> Column:
        """Return the children that a generator makes now."""
        task = calls.task
        if task.kind is Kind.START:
            suspended = Suspended(calls, self._function(task.stage, 0))
        else:
            found = self._generators.pop(task.generator, None)
            if found is None:
                raise StateError(f"node {calls.stage.calls[0].node!r}: its generator was interrupted and cannot go on")
            suspended = found
            suspended.resume(calls)
        children = suspended.advance(outcome, task.chunk)
        if not outcome.finished:
            self._generators[task.generator] = suspended
        column = mark_column(children, FULL)
        calls.drops[0] += column.dropped
        return column

    def _function(self, stage: int, call: int) -> Callable[..., Any]:
        function = self._functions.get((stage, call))
        if function is None:
            function = self._functions[stage, call] = to_positional(self._program.stages[stage].calls[call])
        return function

    def _call(self, calls: Calls) -> list[Column]:
        """Evaluate the calls of a stage, one after the other over the whole batch; return all columns."""
        columns = calls.load()
        for number, call in enumerate(calls.stage.calls):
            arguments = calls.bind(call, columns)
            columns.append(self._evaluate(calls, number, call, arguments))
        return columns

    def _evaluate(self, calls: Calls, number: int, call: Call, arguments: Arguments) -> Column:
        """Return the column that one call makes."""
        count, culprits = calls.task.count, calls.culprits_of(call)
        if arguments.present == FULL and not arguments.failed and not culprits:
            return self._mark(calls, number, self._compute(calls, number, arguments, range(count)), FULL, range(count))
        present, failed = arguments.present, arguments.failed
        values: list[Any] = [None] * count
        for position in positions_of(failed, count):
            values[position] = arguments.first_failure(position)
            if call.on_error == "drop":
                present &= ~(1 << position)
                values[position] = None
        for (position, _), failure in culprits.items():
            if present & ~failed & 1 << position:
                values[position] = calls.settle(call, failure)
                failed |= 1 << position
        healthy = list(positions_of(present & ~failed, count))
        for position, value in zip(healthy, self._compute(calls, number, arguments, healthy), strict=True):
            values[position] = value
        return self._mark(calls, number, values, present, healthy)

    def _mark(self, calls: Calls, number: int, values: list[Any], present: int, called: Sequence[int]) -> Column:
        """Return the column of some values; failures that a function returned become its own."""
        column = mark_column(values, present)
        calls.drops[number] += column.dropped
        if column.failed:
            born = set(map(id, calls.failures))
            for position in called:
                if type(values[position]) is Failure and id(values[position]) not in born:
                    values[position] = calls.adopt(calls.stage.calls[number], position, values[position])
        return column

    def _compute(self, calls: Calls, number: int, arguments: Arguments, positions: Sequence[int]) -> list[Any]:
        """Return what the function makes of the items at some positions, failures settled."""
        call = calls.stage.calls[number]
        calls.calls[number] += len(positions)
        resources, error = calls.take_resources(call)
        if error is not None:
            return [calls.fail_call(call, position, error) for position in positions]
        function = self._function(calls.task.stage, number)
        if call.vectorized:
            vectors = arguments.vectors(positions, resources)
            own = [vector if i in resources else vector[:] for i, vector in enumerate(vectors)]
            return self._compute_vector(calls, number, function, own, positions)
        cell, single = self._bench.cell, len(call.arguments) == 1 and not resources
        results: list[Any] = []
        while len(results) < len(positions):
            rest = positions[len(results) :]
            rows = arguments.vectors(rest, resources)[0] if single else arguments.rows(rest, resources)
            if cell is None:
                _, error = self._bench.attempt(_apply if single else _apply_rows, function, rows, results.append)
            else:
                cell.at(number, rest[0])
                apply = _note_and_apply if single else _note_and_apply_rows
                _, error = self._bench.attempt(apply, function, rows, results.append, cell.slots, rest)
            if error is None:
                break
            position = positions[len(results)]
            results.append(calls.fail_call(call, position, error, arguments.given(position)))
        return results

    def _compute_vector(
        self, calls: Calls, number: int, function: Callable[..., Any], vectors: list[Any], positions: Sequence[int]
    ) -> list[Any]:
        """Return what a vectorized function makes of the items at some positions; an exception fails them all."""
        if not positions:
            return []
        call = calls.stage.calls[number]
        if self._bench.cell is not None:
            self._bench.cell.at(number, positions[0])
        results, error = self._bench.attempt(_apply_vector, function, vectors)
        if error is None and len(results) != len(positions):
            error = ValueError(
                f"node {call.node!r} is vectorized: it must return as many results as it gets items, "
                f"but for {len(positions)} it returned {len(results)}"
            )
        if error is None:
            values: list[Any] = results
            return values
        return [calls.fail_call(call, position, error, vectors) for position in positions]

    def _to_output(self, calls: Calls, number: int, column: Column) -> Output:
        """Return a column as an output; what cannot be pickled fails alone."""
        output = cut_output(column, calls.task.grain)
        if not self._bench.sends:
            return output
        for payload in output.payloads:
            if self._bench.attempt(payload.encode)[1] is not None:
                break
        else:
            return output
        call = calls.stage.calls[max(number - calls.stage.inputs, 0)]
        for position in positions_of(column.present, len(column.values)):
            column.values[position] = calls.check_sendable(call, position, column.values[position])
        return cut_output(mark_column(column.values, column.present), calls.task.grain)


def _apply(function: Callable[[Any], Any], values: Iterable[Any], put: Callable[[Any], None]) -> None:
    for value in values:
        put(function(value))


def _apply_rows(function: Callable[..., Any], rows: Iterable[tuple[Any, ...]], put: Callable[[Any], None]) -> None:
    for row in rows:
        put(function(*row))


def _note_and_apply(
    function: Callable[[Any], Any],
    values: Iterable[Any],
    put: Callable[[Any], None],
    slots: memoryview[int],
    positions: Sequence[int],
) -> None:
    for position, value in zip(positions, values, strict=True):
        slots[INDEX] = position
        put(function(value))


def _note_and_apply_rows(
    function: Callable[..., Any],
    rows: Iterable[tuple[Any, ...]],
    put: Callable[[Any], None],
    slots: memoryview[int],
    positions: Sequence[int],
) -> None:
    for position, row in zip(positions, rows, strict=True):
        slots[INDEX] = position
        put(function(*row))


def _apply_vector(function: Callable[..., Any], vectors: list[Any]) -> list[Any]:
    return list(function(*vectors))
