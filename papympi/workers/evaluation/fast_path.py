"""The fast path through a task: plain functions, one after the other, over whole columns.

Most tasks are such: nothing is missing in them, nothing has failed before and nothing does now. They get through in as
few steps as can be. When a function has slept or read files, little of a worker is left in the processor's caches, and
every step costs several times what it does in a tight loop. Whatever else turns up is left to the evaluator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from papympi.plan.program import Call, Stage
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.task import Task
from papympi.workers.evaluation.apply import apply_rows, apply_single
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import MARKED, Column, has_failures, is_gathered, is_plain, load_column
from papympi.workers.evaluation.context import WorkerContext
from papympi.workers.evaluation.copies import copy_values, find_early
from papympi.workers.evaluation.progress import INDEX, NOTHING

Function = Callable[..., Any]

_SPENT: Final = Column([])


class Stop(NamedTuple):
    """Where a call stopped.

    Attributes:
        results: what it had returned by then.
        error: what it raised; `None`: nothing.
    """

    results: list[Any]
    error: BaseException | None


class FastPathResult(NamedTuple):
    """How far a task got.

    Attributes:
        columns: the inputs, then what each call has returned that got through.
        spent: how many seconds each call has taken; of the only one that is not measured.
        stop: where the next one stopped, or all that it returned if that has to be looked at; `None`: there is none.
    """

    columns: list[Column]
    spent: list[float]
    stop: Stop | None = None


def find_plain(call: Call) -> tuple[int, ...]:
    """Return which columns a call takes if it is plain: called for each item, without resources and time-out."""
    if call.vectorized or call.timeout or call.awaits or any(argument.column is None for argument in call.arguments):
        return ()
    return tuple(argument.column for argument in call.arguments if argument.column is not None)


class FastPath(NamedTuple):
    """The fast path through a stage.

    Attributes:
        functions: those of its calls; none if one of them is not plain.
        columns: for each call those that it takes.
        spent: for each call those that nobody needs behind it.
        copied: for each call the numbers of the arguments of which it gets copies.
        early: for a call the outputs that are made before it is, since it takes them; then there is no fast path.
    """

    functions: list[Function]
    columns: list[tuple[int, ...]]
    spent: list[list[int]]
    copied: list[frozenset[int]]
    early: dict[int, list[int]]


def find_fast_path(calls: Calls, prepare: Callable[[int, int], Function]) -> FastPath:
    """Return the fast path through a stage; `prepare` gives a function by the numbers of its stage and call."""
    worker, stage = calls.worker, calls.stage
    numbers, columns = range(len(stage.calls)), list(map(find_plain, stage.calls))
    early: dict[int, list[int]] = {}
    for column in find_early(stage, sends=worker.sends):
        early.setdefault(max(column - stage.inputs + 1, 0), []).append(column)
    is_plain_stage = stage.kind == "map" and not stage.inner and all(columns) and not early
    functions = [prepare(calls.task.stage, number) for number in numbers] if is_plain_stage else []
    copied = [worker.find_copied(stage, call) for call in stage.calls]
    return FastPath(functions, columns, find_spent(stage), copied, early)


def find_spent(stage: Stage) -> list[list[int]]:
    """Return for each call of a stage the columns that no later call takes and that are no outputs."""
    last = {arg.column: at for at, call in enumerate(stage.calls) for arg in call.arguments if arg.column is not None}
    spent: list[list[int]] = [[] for _ in stage.calls]
    for column in last.keys() - set(stage.outputs):
        spent[last[column]].append(column)
    return spent


def let_go(columns: list[Column], spent: Iterable[int], slots: memoryview[int]) -> None:
    """Forget the values of some columns: a chain of functions needs no more memory than two of them.

    A destructor may end the process, and the record must not say that the last item did.
    """
    if spent:
        at, slots[INDEX] = slots[INDEX], NOTHING
        for number in spent:
            columns[number] = _SPENT
        slots[INDEX] = at


def take_whole(columns: Sequence[Column], call: Call, copied: frozenset[int]) -> list[Any] | None:
    """Return what a plain call takes, some of it copied; `None`: it is not plain, or not every item is there."""
    given: list[Any] = []
    for number in find_plain(call):
        column = columns[number]
        if column.present != FULL or column.failed or column.gathered:
            return None
        given.append(copy_values(column.values) if len(given) in copied else column.values)
    return given or None


def load_whole(task: Task) -> list[Column] | None:
    """Return the columns of a task that calls functions; `None` if something in them is missing or has failed.

    May raise whatever unpickling raises.
    """
    if task.valid != FULL or task.culprits or task.careful:
        return None
    columns = []
    for slices in task.columns:
        if is_gathered(slices):
            return None
        values = load_column(slices, Payload.values)
        if not is_plain(slices) and has_failures(values):
            return None
        columns.append(Column(values))
    return columns


def apply_plain(worker: WorkerContext, number: int, function: Function, given: list[Any], count: int) -> Stop:
    """Return what a call makes of whole columns, to their end or before it raises."""
    results: list[Any] = []
    worker.progress.at(number, 0)
    apply, rows = (apply_single, given[0]) if len(given) == 1 else (apply_rows, zip(*given, strict=True))
    _, error = worker.attempt(apply, function, rows, results.append, worker.progress.slots, range(count))
    return Stop(results, error)


def run_fast_path(worker: WorkerContext, task: Task, path: FastPath) -> FastPathResult | None:
    """Return how far a task gets on the fast path; `None`: it cannot go there."""
    if not path.functions:
        return None
    columns, error = worker.attempt(load_whole, task)
    if error is not None or columns is None:
        return None
    spent: list[float] = []
    several, clock = len(path.functions) > 1, time.perf_counter
    begin = clock() if several else 0.0
    for number, function in enumerate(path.functions):
        wanted = path.columns[number]
        values: list[Any] = [columns[column].values for column in wanted]
        for at in path.copied[number]:
            values[at] = copy_values(values[at])
        stop = apply_plain(worker, number, function, values, task.count)
        del values
        if several:
            end = clock()
            spent.append(end - begin)
            begin = end
        kinds = set(map(type, stop.results))
        if stop.error is not None or not MARKED.isdisjoint(kinds):
            return FastPathResult(columns, spent, stop)
        columns.append(Column(stop.results, kinds=kinds))
        let_go(columns, path.spent[number], worker.progress.slots)
    return FastPathResult(columns, spent)
