"""The innermost loops: a function is called for one item after the other, and the cell says for which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic_ns
from typing import Any

from papympi.workers.evaluation.alarm import Overdue
from papympi.workers.evaluation.progress import BEGUN, INDEX, NOTHING

Put = Callable[[Any], None]


def apply_single(
    function: Callable[[Any], Any], values: Iterable[Any], put: Put, slots: memoryview[int], positions: Sequence[int]
) -> None:
    """Call a function of one argument with each of some values."""
    for position, value in zip(positions, values, strict=True):
        slots[INDEX] = position
        put(function(value))


def apply_rows(
    function: Callable[..., Any],
    rows: Iterable[tuple[Any, ...]],
    put: Put,
    slots: memoryview[int],
    positions: Sequence[int],
) -> None:
    """Call a function with each of some rows of arguments."""
    for position, row in zip(positions, rows, strict=True):
        slots[INDEX] = position
        put(function(*row))


def apply_timed(
    function: Callable[..., Any],
    rows: Iterable[tuple[Any, ...]],
    put: Put,
    slots: memoryview[int],
    positions: Sequence[int],
    limit_ns: int,
) -> None:
    """Do the same; each call has so many nanoseconds."""
    for position, row in zip(positions, rows, strict=True):
        slots[INDEX] = position
        put(call_timed(function, row, slots, limit_ns))


def apply_vector(
    function: Callable[..., Any], vectors: Sequence[Any], slots: memoryview[int], limit_ns: int
) -> list[Any]:
    """Return the results of a vectorized function; it has so many nanoseconds, if any are named."""
    return list(call_timed(function, vectors, slots, limit_ns) if limit_ns else function(*vectors))


def call_timed(function: Callable[..., Any], row: Sequence[Any], slots: memoryview[int], limit_ns: int) -> Any:
    """Return what a function returns.

    Raises:
        Overdue: it took longer than it may, whether or not it could be interrupted.
    """
    begun = monotonic_ns()
    slots[BEGUN] = begun
    try:
        value = function(*row)
    finally:
        slots[BEGUN] = NOTHING  # from here on the alarm is silent
    if monotonic_ns() - begun > limit_ns:
        raise Overdue
    return value
