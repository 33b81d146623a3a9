"""Opens the inputs of a task that a worker died of: value by value, as far as needed, so that the record says which.

Most die in a function; here nobody knows yet. A value may kill who opens it, and lie in one payload with a thousand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from papympi.model.item import Failure
from papympi.transport.payload import Payload
from papympi.transport.task import Slice
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Arguments, is_gathered
from papympi.workers.evaluation.progress import CHILD, INDEX, NOTHING


def open_carefully(calls: Calls) -> None:
    """Open the values of a task's columns that it needs; all else that the payloads hold stays in them."""
    calls.worker.progress.slots[CHILD] = 0
    wanted: dict[int, tuple[Payload, dict[int, int]]] = {}
    for slices in calls.task.columns:
        for payload, number, position in _list_values(slices):
            wanted.setdefault(id(payload), (payload, {}))[1].setdefault(number, position)
    for place, (payload, positions) in wanted.items():
        if payload.is_closed():
            values, error = calls.attempt_for(0, NOTHING, _open, calls, payload, positions)
            if error is None:
                calls.opened[place] = values


def _open(calls: Calls, payload: Payload, positions: dict[int, int]) -> list[Any]:
    slots = calls.worker.progress.slots

    def note(number: int) -> None:
        slots[INDEX] = positions.get(number, slots[INDEX])

    return payload.pick(positions, note)


def _list_values(slices: Sequence[Slice]) -> Iterator[tuple[Payload, int, int]]:
    """Yield for each value of a column its payload, its number there, and the position that it is for."""
    position = 0
    if is_gathered(list(slices)):
        for ends, pieces in slices:
            member = 0
            for payload, start, stop, _ in pieces:
                for number in range(start, stop):
                    yield payload, number, position + bisect_right(ends, member)
                    member += 1
            position += len(ends)
        return
    for payload, start, stop, *many in slices:
        for number in range(start, stop):
            yield payload, number, position + number - start
        position += many[0] if many else stop - start


def receive(calls: Calls, number: int, position: int, arguments: Arguments) -> tuple[Any, bool]:
    """Return what a call makes of an item some of whose inputs have failed, and whether it is still there."""
    call, failure, as_list = (
        calls.stage.calls[number],
        arguments.first_failure(position),
        arguments.fails_as_list(position),
    )
    if call.on_error == "drop" and not as_list and calls.may_drop(call, position, failure):
        return None, False
    return failure if as_list else heal_withheld(calls, number, position, failure), True


def heal_withheld(calls: Calls, number: int, position: int, failure: Failure) -> Any:
    """Return what takes the place of an item that failed before it came to a call: it is healed as any other.

    It is the call's own: its inputs did not come out of their pickle, or ended workers. Where what heals it has ended
    one, too, the failure of that stays.
    """
    call = calls.stage.calls[number]
    if failure.node != call.node or not callable(call.on_error):
        return failure
    for (at, _), lost in calls.culprits_of(call).items():
        if at == position:
            return lost  # that it was withheld has been counted
    calls.worker.progress.at_child(number, position, calls.task.skip)
    return calls.heal(call, failure)
