"""Vectorized functions, which take many items at once and do not say which of them an exception is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from papympi.workers.evaluation.alarm import NS
from papympi.workers.evaluation.apply import apply_vector
from papympi.workers.evaluation.arguments import Arguments
from papympi.workers.evaluation.work import Work


def compute_vector(
    work: Work,
    number: int,
    function: Callable[..., Any],
    arguments: Arguments,
    resources: dict[int, Any],
    positions: Sequence[int],
) -> list[Any]:
    """Return what a vectorized function makes of the items at some positions; an exception fails the one it is for.

    Which one that is, the function does not say: it is called again with each half, until one item is alone.
    """
    calls, count = work.calls, len(positions)
    if not count:
        return []
    call, cell, attempt = calls.stage.calls[number], calls.bench.cell, calls.bench.attempt
    vectors = arguments.vectors(positions, resources)
    own = [vector if i in resources else vector[:] for i, vector in enumerate(vectors)]
    cell.at(number, positions[0], count)
    work.positions = positions
    results, error = attempt(apply_vector, function, own, cell.slots, round((call.timeout or 0.0) * count * NS))
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
        return [v for half in halves for v in compute_vector(work, number, function, arguments, resources, half)]
    return [calls.fail_call(call, position, error, arguments.given(position)) for position in positions]
