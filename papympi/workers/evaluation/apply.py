"""The innermost loops: a function is called for one item after the other, or for many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from papympi.workers.evaluation.alarm import NS, call_timed
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Arguments
from papympi.workers.evaluation.progress import INDEX
from papympi.workers.evaluation.task_location import TaskLocation

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


def follow_up(function: Callable[..., Any], after: Callable[[], None]) -> Callable[..., Any]:
    """Return a function with something that is called behind each call of it."""

    def followed(*values: Any) -> Any:
        try:
            return function(*values)
        finally:
            after()

    return followed


def compute_vector(
    location: TaskLocation,
    number: int,
    function: Callable[..., Any],
    arguments: Arguments,
    resources: dict[int, Any],
    positions: Sequence[int],
) -> list[Any]:
    """Return what a vectorized function makes of the items at some positions; an exception fails the one it is for.

    Which one that is, the function does not say: it is called again with each half, until one item is alone.
    """
    calls, count = location.calls, len(positions)
    if not count:
        return []
    call, progress, attempt = calls.stage.calls[number], calls.worker.progress, calls.worker.attempt
    vectors = arguments.vectors(positions, resources)
    own = [vector if i in resources else list(vector) for i, vector in enumerate(vectors)]
    progress.at(number, positions[0], count)
    location.positions = positions
    results, error = attempt(apply_vector, function, own, progress.slots, round((call.timeout or 0.0) * count * NS))
    if error is None and len(results) == count:
        values: list[Any] = results
        return values
    if error is None:
        error = ValueError(
            f"node {call.node!r} is vectorized: it must return as many results as it gets items, "
            f"but for {count} it returned {len(results)}"
        )
    elif count > 1:
        halves = positions[: count // 2], positions[count // 2 :]
        return [v for half in halves for v in compute_vector(location, number, function, arguments, resources, half)]
    return [calls.fail_call(call, position, error, arguments.given(position)) for position in positions]


def compute_each(
    calls: Calls,
    number: int,
    function: Callable[..., Any],
    arguments: Arguments,
    resources: dict[int, Any],
    positions: Sequence[int],
) -> list[Any]:
    """Return what a function makes of the items at some positions; an exception fails the one that it is for."""
    call, progress, attempt = calls.stage.calls[number], calls.worker.progress, calls.worker.attempt
    single = len(call.arguments) == 1 and not resources and not call.timeout
    results: list[Any] = []
    while len(results) < len(positions):
        rest = positions[len(results) :]
        rows = arguments.vectors(rest, resources)[0] if single else arguments.rows(rest, resources)
        progress.at(number, rest[0])
        given = function, rows, results.append, progress.slots, rest
        if call.timeout:
            _, error = attempt(apply_timed, *given, round(call.timeout * NS))
        else:
            _, error = attempt(apply_single if single else apply_rows, *given)
        if error is None:
            break
        position = positions[len(results)]
        results.append(calls.fail_call(call, position, error, arguments.given(position)))
    return results
