"""Children that do not leave a task: a scatter, the maps of its children, and the gathers and folds that close them.

Nothing here calls a function. Each step is the one that a task of its own would have been, in the same words: some
children come out of the generator, which are the positions of a call, of a fold and so on; then they are forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, Final, NamedTuple

from papympi.model.item import Failure
from papympi.plan.program import MOST, Inner
from papympi.transport.bitmap import FULL
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.evaluation.attempt import drive
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Column, mark_column, positions_of
from papympi.workers.evaluation.fold import Fold
from papympi.workers.evaluation.scatter import SuspendedScatter
from papympi.workers.evaluation.task_location import TaskLocation

BRIEF_S: Final = 0.001
"""If so many children took less, more are taken next time; if they took four times as long, fewer."""

ChildRuns = list[tuple[int, int, int]]
"""Where children are: (position of the parent, number of the first, how many)."""


class EvaluatorFunctions(NamedTuple):
    """What the evaluator of a worker does.

    Attributes:
        make_column: returns the column that a call makes, given its number and the columns there are.
        find_function: returns the function of a call, given the numbers of its stage and its own.
    """

    location: TaskLocation
    make_column: Callable[[Calls, int, list[Column]], Column]
    find_function: Callable[[int, int], Callable[..., Any]]


def call_inner(calls: Calls, columns: list[Column], evaluator: EvaluatorFunctions) -> list[Column]:
    """Evaluate the calls of a stage with children that do not leave it; return all columns."""
    stage = calls.stage
    columns += [Column([])] * (len(stage.calls) + sum(len(inner.gathers) for inner in stage.inner))
    inside = {number: inner for inner in stage.inner for number in inner.calls}
    own = copy(calls)
    depth = len(calls.key_of(0))
    own.task = replace(calls.task, culprits=_pick(calls, depth))
    for number in range(len(stage.calls)):
        inner = inside.get(number)
        if inner is None:
            evaluator.location.calls = own
            columns[stage.inputs + number] = evaluator.make_column(own, number, columns)
        elif inner.scatter == number:
            _InnerScatter(calls, inner, columns, evaluator, depth).evaluate()
    evaluator.location.calls = calls
    return columns


def _pick(calls: Calls, length: int) -> dict[tuple[int, int], Failure]:
    """Return the culprits whose keys have a length."""
    return {place: failure for place, failure in calls.task.culprits.items() if len(failure.key) == length}


class _InnerScatter:
    """One scatter, over all parents of a task.

    Args:
        inner: what becomes of the children.
        columns: of the stage; those that come of the children are put into their places.
        depth: length of the parents' keys.
    """

    def __init__(
        self, calls: Calls, inner: Inner, columns: list[Column], evaluator: EvaluatorFunctions, depth: int
    ) -> None:
        self._calls = calls
        self._inner = inner
        self._columns = columns
        self._evaluator = evaluator
        stage, task = calls.stage, calls.task
        node = stage.calls[inner.scatter].node
        ended = {(at, 0): failure for (at, _), failure in _pick(calls, depth).items() if failure.node == node}
        self._makers = copy(calls)
        self._makers.task = replace(task, culprits=ended)
        self._makers.number = inner.scatter
        self._place = task.stage, inner.scatter
        self._hurt = _pick(calls, depth + 1)
        function = evaluator.find_function(task.stage, inner.scatter)
        self._suspended = SuspendedScatter(self._makers, function, columns)
        self._present = calls.bind(stage.calls[inner.scatter], columns).present
        self._lists: dict[int, list[list[Any]]] = {
            target: [[] for _ in range(task.count)] for _, target in inner.gathers
        }
        self._folds = {number: self._begin_fold(number, factory) for number, factory in inner.folds}
        self._results: dict[int, list[Any]] = {number: [None] * task.count for number, _ in inner.folds}

    def _begin_fold(self, number: int, factory: Callable[[], Any]) -> Fold:
        calls = copy(self._calls)
        calls.number = number
        return Fold(calls, self._evaluator.find_function(self._calls.task.stage, number), factory)

    def evaluate(self) -> None:
        """Put the columns of lists and of folds in their places."""
        calls = self._calls
        outcome = Outcome(calls.task.id)
        first = 0
        while not outcome.finished:
            began, size = time.perf_counter(), self._choose_size()
            outcome.counts = []
            made = self._take(outcome, size)
            self._go_on(made, first, outcome.counts)
            first += len(outcome.counts)
            self._learn(size, len(made), time.perf_counter() - began)
        for target, lists in self._lists.items():
            self._columns[target] = Column(lists, self._present, gathered=True)
        for number, results in self._results.items():
            self._columns[calls.stage.inputs + number] = mark_column(results, self._present)

    def _choose_size(self) -> int:
        """Return how many children may be there now."""
        return self._calls.task.chunk or self._inner.chunk or self._calls.worker.chunks.get(self._place, 1)

    def _learn(self, size: int, made: int, seconds: float) -> None:
        """Choose how many children are taken next time."""
        if seconds > 4 * BRIEF_S:
            self._calls.worker.chunks[self._place] = max(1, size // 2)
        elif made >= size and seconds < BRIEF_S:
            self._calls.worker.chunks[self._place] = min(MOST, size * 2)

    def _take(self, outcome: Outcome, size: int) -> list[Any]:
        """Return the next children."""
        makers = self._makers
        self._evaluator.location.calls = makers
        begin = time.perf_counter()
        self._suspended.resume(makers)
        made = drive(self._suspended.advance(outcome, size), makers.worker.attempt)
        makers.spend(makers.number, begin)
        return made

    def _go_on(self, made: list[Any], first: int, counts: list[int]) -> None:
        """Let children become what they become; `counts` has how many are of parents `first`, ... that are finished."""
        calls, inner, stage, runs = self._calls, self._inner, self._calls.stage, self._suspended.runs
        column = mark_column(made, FULL)
        calls.drops[inner.scatter] += column.dropped
        some = Calls(calls.worker, self._make_task(len(made), runs), stage)
        some.calls, some.drops, some.spent = calls.calls, calls.drops, calls.spent
        columns = self._share(runs, column)
        self._evaluator.location.calls = some
        if made:
            calls.worker.progress.enter(runs)
        for number in inner.maps if made else ():
            columns[stage.inputs + number] = self._evaluator.make_column(some, number, columns)
        for number, fold in self._folds.items():
            begin, some.number = time.perf_counter(), number
            fold.take(some, columns)
            self._fold(fold, self._results[number], first, counts, len(made))
            calls.spend(number, begin)
        calls.worker.progress.leave()
        calls.failures.extend(some.failures)
        for source, target in inner.gathers if made else ():
            _gather(columns[source], runs, self._lists[target])

    def _make_task(self, count: int, runs: ChildRuns) -> Task:
        """Return what would have been the task of some children."""
        task = self._calls.task
        culprits = {}
        for (at, number), failure in self._hurt.items():
            start = 0
            for parent, first, made in runs:
                if parent == at and first <= failure.key[-1] < first + made:
                    culprits[start + failure.key[-1] - first, number] = failure
                start += made
        keys = self._suspended.list_keys()
        return Task(task.id, Kind.CALL, task.stage, count, keys=keys, culprits=culprits)

    def _share(self, runs: ChildRuns, column: Column) -> list[Column]:
        """Return the columns of the stage as children see them: their own, and what is shared of their parents."""
        columns = [column] * len(self._columns)
        for number in self._inner.shared:
            columns[number] = _repeat(self._columns[number], runs)
        return columns

    def _fold(self, fold: Fold, results: list[Any], first: int, counts: list[int], count: int) -> None:
        """Fold children; the results of finished parents are put in their places."""
        attempt, start = self._calls.worker.attempt, 0
        for parent, made in enumerate(counts, first):
            drive(fold.fold(start, start + made), attempt)
            start += made
            if self._present >> parent & 1:
                results[parent] = fold.finish(self._calls.key_of(parent))
        drive(fold.fold(start, count), attempt)


def _repeat(column: Column, runs: ChildRuns) -> Column:
    """Return a column of parents as their children share it."""
    values = [value for parent, _, made in runs for value in [column.values[parent]] * made]
    if column.present == FULL and not column.failed:
        return Column(values)
    shared, start = Column(values, 0), 0
    for parent, _, made in runs:
        bits = ((1 << made) - 1) << start
        shared.present |= bits * (column.present >> parent & 1)
        shared.failed |= bits * (column.failed >> parent & 1)
        start += made
    return shared


def _gather(column: Column, runs: ChildRuns, lists: list[list[Any]]) -> None:
    """Add the children that are there to the lists of their parents."""
    start = 0
    for parent, _, made in runs:
        members = column.values[start : start + made]
        if column.present != FULL:
            members = [members[at] for at in positions_of(column.present >> start, made)]
        lists[parent] += members
        start += made
