"""The short way to results: a plain function, and columns in which nothing is missing and nothing has failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from papympi.plan.program import Call
from papympi.transport.task import FULL
from papympi.workers.columns import Column


def find_plain(call: Call) -> tuple[int, ...]:
    """Return which columns a call takes if it is plain: called for each item, without resources and time-out."""
    if call.vectorized or call.timeout or call.awaits or any(argument.column is None for argument in call.arguments):
        return ()
    return tuple(argument.column for argument in call.arguments if argument.column is not None)


def take_whole(columns: Sequence[Column], wanted: Sequence[int]) -> list[list[Any]] | None:
    """Return the values of some columns, or `None` if there are no such or one has to be looked at item by item."""
    given = []
    for number in wanted:
        column = columns[number]
        if column.present != FULL or column.failed or column.gathered:
            return None
        given.append(column.values)
    return given or None
