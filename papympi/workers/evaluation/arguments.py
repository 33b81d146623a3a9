"""The arguments of a call by position, and functions as they take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from papympi.model.item import Failure
from papympi.plan.program import Call
from papympi.transport.bitmap import FULL
from papympi.workers.evaluation.columns import Column


class Arguments:
    """The columns that a call takes, in the order of its arguments; `None` stands for a resource.

    Attributes:
        present: bit i set: everything is there at position i.
        failed: bit i set: something is, and some of it is a `Failure`.
    """

    def __init__(self, call: Call, columns: Sequence[Column | None], count: int) -> None:
        self._call = call
        self._columns = columns
        self._count = count
        self.present, self.failed = FULL, 0
        for column in columns:
            if column is not None:
                self.present &= column.present
                self.failed |= column.failed
        self.failed &= self.present

    def first_failure(self, position: int) -> Failure:
        """Return the failure that comes first in the order of the parameters."""
        for column in self._columns:
            if column is not None and column.failed >> position & 1:
                failure: Failure = column.values[position]
                return failure
        raise AssertionError("no argument failed")

    def given(self, position: int) -> list[Any]:
        """Return the values at a position, without resources."""
        return [column.values[position] for column in self._columns if column is not None]

    def vectors(self, positions: Sequence[int], resources: dict[int, Any]) -> list[Any]:
        """Return the values at some positions, a list an argument that is not to be changed; resources as they are."""
        whole = len(positions) == self._count
        return [
            resources[number]
            if column is None
            else (column.values if whole else [column.values[position] for position in positions])
            for number, column in enumerate(self._columns)
        ]

    def rows(self, positions: Sequence[int], resources: dict[int, Any]) -> Iterable[tuple[Any, ...]]:
        """Return the arguments at some positions, a tuple a position."""
        count, vectors = len(positions), self.vectors(positions, resources)
        if not vectors:
            return repeat((), count)
        return zip(*(repeat(v, count) if i in resources else v for i, v in enumerate(vectors)), strict=True)


def to_positional(call: Call) -> Callable[..., Any]:
    """Return the call's function as one that takes all its arguments by position."""
    function = call.function
    names = tuple(argument.keyword for argument in call.arguments if argument.keyword is not None)
    if not names:
        return function

    def positional(*values: Any) -> Any:
        # counted from the end: a fold's accumulator comes before the arguments
        return function(*values[: -len(names)], **dict(zip(names, values[-len(names) :], strict=True)))

    return positional
