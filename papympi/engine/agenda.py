"""What a pool could do next, in order, where it has many steps: to look at each of them for each task would take long.

Of the steps that have something ready only those come first again whose queue or stride has changed. It stands beside
`Scheduler`, which asks every step itself while there are few, and always those whose order keys change by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from papympi.engine.operators.protocol import Candidate, TaskOperator
from papympi.plan.plan import Step

MANY = 32
"""A pool with more steps than this has an agenda."""

_Entry = tuple[tuple[Any, ...], int, int]
"""What it is sorted by, the number of the operator, and how often that had changed by then."""


class Agenda:
    """The steps of one pool whose order keys stay, by what they have ready; of equal ones the first goes first.

    Args:
        operators: all of the pool, deepest first.
        brief: steps whose batches may wait behind several others.

    Attributes:
        others: those that have to be asked each time.
    """

    def __init__(self, operators: Sequence[TaskOperator[Any]], brief: Collection[Step]) -> None:
        self.others = [operator for operator in operators if not operator.is_steady]
        self._operators = [operator for operator in operators if operator.is_steady]
        self._numbers = {operator: number for number, operator in enumerate(self._operators)}
        self._brief = brief
        self._candidates: list[Candidate | None] = [None] * len(self._operators)
        self._versions = [0] * len(self._operators)
        self._changed = set(self._operators)
        self._heaps: dict[bool, tuple[list[_Entry], list[_Entry]]] = {True: ([], []), False: ([], [])}
        for operator in self._operators:
            operator.changed = self._changed

    def heads(self, *, brief: bool) -> list[Candidate]:
        """Return the best candidate and the one with the smallest order key; `brief`: only of such steps."""
        for operator in self._changed:
            self._look(operator)
        self._changed.clear()
        found = set()
        for some in (True,) if brief else (True, False):
            for heap in self._heaps[some]:
                while heap and self._versions[heap[0][1]] != heap[0][2]:
                    heappop(heap)
                if heap:
                    found.add(heap[0][1])
        heads = map(self._candidates.__getitem__, sorted(found))
        return [head for head in heads if head is not None]

    def _look(self, operator: TaskOperator[Any]) -> None:
        """Take note of what an operator has ready now."""
        number = self._numbers[operator]
        self._versions[number] += 1
        candidate = self._candidates[number] = next(iter(operator.candidates()), None)
        if candidate is None:
            return
        order = operator.order(candidate.work)
        best, oldest = self._heaps[operator.step in self._brief]
        for heap, key in ((best, (*candidate[:2], order)), (oldest, (order, *candidate[:2]))):
            heappush(heap, (key, number, self._versions[number]))
            if len(heap) > 4 * len(self._operators):
                heap[:] = [entry for entry in heap if self._versions[entry[1]] == entry[2]]
                heapify(heap)
