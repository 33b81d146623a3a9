"""Evaluates tasks: calls the users' functions and turns whatever they raise into failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from papympi.errors import StateError
from papympi.model.item import Failure, Key
from papympi.plan.program import Call, Program
from papympi.transport.bitmap import FULL
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.evaluation import fast_path
from papympi.workers.evaluation.apply import compute_each, compute_vector, follow_up
from papympi.workers.evaluation.async_blocking import CallLoop, run_to_end
from papympi.workers.evaluation.attempt import Steps, attempt, attempt_interruptibly, drive
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.capture import OutputCapture
from papympi.workers.evaluation.careful import open_carefully, receive
from papympi.workers.evaluation.columns import Arguments, Column, mark_column, positions_of, to_positional
from papympi.workers.evaluation.context import WorkerContext
from papympi.workers.evaluation.fold import fold
from papympi.workers.evaluation.inner import EvaluatorFunctions, call_inner
from papympi.workers.evaluation.location import FixedLocation, at, enter, leave
from papympi.workers.evaluation.outputs import make_early, make_output, make_outputs
from papympi.workers.evaluation.progress import ProgressRecord
from papympi.workers.evaluation.recorder import OutputRecorder
from papympi.workers.evaluation.scatter import SuspendedScatter
from papympi.workers.evaluation.task_location import TaskLocation


class Evaluator:
    """Evaluates the tasks of one worker, one at a time.

    Args:
        label: what failures call the worker.
        progress: where to say which item is next.
        generators: where suspended generators are kept; workers that share memory may share it.
        encodes: outcomes leave this process, so that what cannot be pickled is a failure.
        interruptible: Ctrl-C is for the caller and not for the item.
        memory: how many bytes the worker may allocate, for messages; 0: as many as there are.
        recorder: takes what is printed and logged; default: one that gives it to the outcomes.
    """

    def __init__(
        self,
        program: Program,
        label: str,
        progress: ProgressRecord | None = None,
        generators: dict[int, SuspendedScatter] | None = None,
        *,
        encodes: bool = True,
        interruptible: bool = False,
        memory: int = 0,
        recorder: OutputRecorder | None = None,
    ) -> None:
        self._program = program
        trying = attempt_interruptibly if interruptible else attempt
        self._capture = OutputCapture(label, recorder, shares=not encodes, raw=interruptible)
        outside = FixedLocation(self._capture.recorder, program.seed, "", None)
        self._worker = WorkerContext(trying, label, progress or ProgressRecord(), outside, sends=encodes, memory=memory)
        self._generators: dict[int, SuspendedScatter] = {} if generators is None else generators
        self._owns_generators = generators is None
        self._functions: dict[tuple[int, int], Callable[..., Any]] = {}
        self._fast_paths: dict[int, fast_path.FastPath] = {}
        self._loop = CallLoop(trying)
        self._after: Callable[[], None] | None = None

    def run(self, task: Task) -> Outcome:
        """Return the task's outcome; of a DISCARD it is empty and nobody wants it."""
        if task.kind is Kind.DISCARD:
            self._discard(task.generator)
            return Outcome(task.id)
        begin, calls = time.perf_counter(), self._begin(task)
        token = enter(self._location)
        try:
            outcome = self._evaluate_task(calls)
        finally:
            leave(token)
        return self._end(outcome, begin)

    def _begin(self, task: Task) -> Calls:
        """Return the calls of a task, which is now the one at work."""
        calls = Calls(self._worker, task, self._program.stages[task.stage])
        self._location = TaskLocation(calls, self._capture.recorder, self._program.seed)
        self._worker.begin(task.id)  # behind that: the last task's values go with its location
        return calls

    def _end(self, outcome: Outcome, begin: float) -> Outcome:
        """Return the outcome of a task that is done."""
        self._worker.finish(outcome)
        outcome.logs = self._capture.recorder.take()
        outcome.seconds = time.perf_counter() - begin
        return outcome

    def _evaluate_task(self, calls: Calls) -> Outcome:
        """Return the outcome of a task."""
        outcome = calls.open_outcome()
        if calls.task.careful:
            open_carefully(calls)
        if calls.task.kind is Kind.CALL:
            columns = self._run_fast_path(calls) or self._call(calls)
            outcome.outputs = make_outputs(calls, columns)
        else:
            column = drive(self._take_steps(calls, outcome), self._worker.attempt)
            outcome.outputs = [make_output(calls, calls.stage.inputs, column)]
        return outcome

    def close(self) -> None:
        """Close the suspended generators that are its own and take the resources down."""
        if self._owns_generators:
            for number in list(self._generators):
                self._discard(number)
        self._worker.close()
        self._loop.close()
        self._capture.close()

    def locate(self) -> tuple[str, Key | None]:
        """Return the node and the key of the item at work; between two tasks the last one's."""
        return self._location.locate()

    def take_exhausted(self) -> bool:
        """Say whether a call has got no memory, below the worker's limit, since this was last asked."""
        return self._worker.take_exhausted()

    def follow(self, after: Callable[[], None] | None) -> None:
        """Call `after` behind each call of a function from the next task on, or nothing any more."""
        self._after = after
        self._functions.clear()
        self._fast_paths.clear()

    def _discard(self, number: int) -> None:
        suspended = self._generators.pop(number, None)
        if suspended is not None:
            with at(self._worker.outside):
                suspended.close()

    def _take_steps(self, calls: Calls, outcome: Outcome) -> Steps[Column]:
        """Return the parents that a fold has finished, or the children that a generator makes now."""
        if calls.task.kind is Kind.FOLD:
            return (yield from fold(calls, self._function(calls.task.stage, 0), outcome))
        return (yield from self._advance(calls, outcome))

    def _advance(self, calls: Calls, outcome: Outcome) -> Steps[Column]:
        task = calls.task
        if task.kind is Kind.START:
            suspended = SuspendedScatter(calls, self._function(task.stage, 0), calls.load())
        else:
            if (found := self._generators.pop(task.generator, None)) is None:
                raise StateError(f"node {calls.stage.calls[0].node!r}: its generator was interrupted and cannot go on")
            suspended = found
            suspended.resume(calls)
        children = yield from suspended.advance(outcome, task.chunk)
        if not (outcome.finished or calls.again or task.whole):
            self._generators[task.generator] = suspended
        column = mark_column(children, FULL)
        calls.drops[0] += column.dropped
        return column

    def _function(self, stage: int, call: int) -> Callable[..., Any]:
        function = self._functions.get((stage, call))
        if function is None:
            function = self._functions[stage, call] = self._prepare(self._program.stages[stage].calls[call])
        return function

    def _prepare(self, call: Call) -> Callable[..., Any]:
        """Return a call's function as one that is given its arguments by position and returns its result."""
        function = to_positional(call)
        function = run_to_end(function, call, self._worker.progress.slots, self._loop) if call.awaits else function
        return function if self._after is None else follow_up(function, self._after)

    def _call(self, calls: Calls) -> list[Column]:
        """Evaluate the calls of a stage, one after the other over the whole batch; return all columns."""
        columns = calls.load()
        if calls.stage.inner:
            return call_inner(calls, columns, EvaluatorFunctions(self._location, self._make_column, self._function))
        return self._fill(calls, columns)

    def _make_column(self, calls: Calls, number: int, columns: list[Column]) -> Column:
        """Return the column that one call makes of others."""
        begin, call = time.perf_counter(), calls.stage.calls[number]
        column = self._apply(calls, number, columns) or self._evaluate(calls, number, call, calls.bind(call, columns))
        calls.spend(number, begin)
        return column

    def _apply(self, calls: Calls, number: int, columns: list[Column]) -> Column | None:
        """Return the column that a plain call makes of whole columns; `None`: it is not so plain, or they are not."""
        call = calls.stage.calls[number]
        given = fast_path.take_whole(columns, call, self._worker.find_copied(calls.stage, call))
        if given is None or calls.task.culprits:
            return None
        function = self._function(calls.task.stage, number)
        stop = fast_path.apply_plain(self._worker, number, function, given, calls.task.count)
        return self._settle(calls, number, columns, stop)

    def _settle(self, calls: Calls, number: int, columns: list[Column], stop: fast_path.Stop) -> Column:
        """Return the column of a plain call that has stopped; after an error it goes on behind the item."""
        (results, error), positions, call = stop, range(calls.task.count), calls.stage.calls[number]
        if error is not None:
            arguments, function = calls.bind(call, columns), self._function(calls.task.stage, number)
            results.append(calls.fail_call(call, len(results), error, arguments.given(len(results))))
            results += compute_each(calls, number, function, arguments, {}, positions[len(results) :])
        calls.calls[number] += len(positions) - len(calls.again)
        return self._mark(calls, number, results, FULL, positions)

    def _run_fast_path(self, calls: Calls) -> list[Column] | None:
        """Return all columns of a task as far as the fast path takes it; `None`: it cannot go there."""
        number = calls.task.stage
        if number not in self._fast_paths:
            self._fast_paths[number] = fast_path.find_fast_path(calls, self._function)
        result = fast_path.run_fast_path(self._worker, calls.task, self._fast_paths[number])
        return None if result is None else self._go_on(calls, result)

    def _go_on(self, calls: Calls, result: fast_path.FastPathResult) -> list[Column]:
        """Return all columns of a task that has got so far."""
        columns, done = result.columns, len(result.columns) - calls.stage.inputs
        calls.calls[:done] = [calls.task.count] * done
        if result.spent:
            calls.spent[: len(result.spent)] = result.spent
        if result.stop is not None:
            begin = time.perf_counter()
            columns.append(self._settle(calls, done, columns, result.stop))
            calls.spend(done, begin)
        return self._fill(calls, columns)

    def _fill(self, calls: Calls, columns: list[Column]) -> list[Column]:
        """Evaluate the calls whose columns are not there yet, one after the other; return all columns."""
        path = self._fast_paths[calls.task.stage]
        for number in range(len(columns) - calls.stage.inputs, len(calls.calls)):
            make_early(calls, columns, path.early.get(number, ()))
            columns.append(self._make_column(calls, number, columns))
            fast_path.let_go(columns, path.spent[number], self._worker.progress.slots)
        return columns

    def _evaluate(self, calls: Calls, number: int, call: Call, arguments: Arguments) -> Column:
        """Return the column that one call makes."""
        count, culprits = calls.task.count, calls.culprits_of(call)
        if arguments.present == FULL and not arguments.failed and not culprits:
            return self._mark(calls, number, self._compute(calls, number, arguments, range(count)), FULL, range(count))
        present, failed = arguments.present, arguments.failed
        values: list[Any] = [None] * count
        for position in positions_of(failed, count):
            values[position], is_there = receive(calls, number, position, arguments)
            present &= FULL if is_there else ~(1 << position)
        for (position, _), failure in culprits.items():
            if present & ~failed & 1 << position:
                values[position] = calls.settle_lost(number, position, failure, arguments.given(position))
                calls.calls[number] += 1
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
            own = set(map(id, calls.failures))
            for position in called:
                if type(values[position]) is Failure and id(values[position]) not in own:
                    values[position] = calls.adopt(calls.stage.calls[number], position, values[position])
        return column

    def _compute(self, calls: Calls, number: int, arguments: Arguments, positions: Sequence[int]) -> list[Any]:
        """Return what the function makes of the items at some positions, failures settled."""
        call = calls.stage.calls[number]
        before, (resources, error) = len(calls.again), calls.take_resources(call)
        if error is not None:
            results = calls.fail_all(call, positions, error)
        else:
            with self._worker.alarm(call.timeout) if call.timeout else nullcontext():
                function = self._function(calls.task.stage, number)
                if call.vectorized:
                    results = compute_vector(self._location, number, function, arguments, resources, positions)
                else:
                    results = compute_each(calls, number, function, arguments, resources, positions)
        calls.count(number, arguments, positions, before)
        return results
