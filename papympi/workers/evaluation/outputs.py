"""Columns on their way home: what cannot leave this process, or be taken up in another, fails alone.

It is no different from what the function itself raises: the item is tried again, dropped or healed as its node says.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FunctionType
from typing import Any, Final

from papympi.errors import ItemTimeout, ShippingError
from papympi.model.item import DROP, Failure
from papympi.model.telling import describe, tell_error
from papympi.model.users_code import is_users_file
from papympi.transport.payload import decode, encode
from papympi.transport.task import Kind, Output
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Column, cut_output, mark_column, positions_of
from papympi.workers.evaluation.progress import NOTHING

_PICKLED_BY: Final = ("__reduce__", "__reduce_ex__", "__setstate__", "__new__", "__setattr__", "__hash__")
"""What may be called when an object comes out of its pickle."""
_PLAIN: Final = frozenset({int, float, complex, bool, str, bytes, type(None)})
"""Nothing of the user's is called for these."""


def make_output(calls: Calls, number: int, column: Column) -> Output:
    """Return a column as an output; what cannot be pickled, or does not come out of its pickle, fails alone."""
    most = calls.task.max_payload
    output = cut_output(column, most)
    at = max(number - calls.stage.inputs, 0)
    if not calls.worker.sends or _can_leave(calls, at, column, output):
        return output
    before = len(calls.again)
    for position in positions_of(column.present, len(column.values)):
        column.values[position] = _check(calls, at, position, column.values[position])
    calls.calls[at] -= len(calls.again) - before
    marked = mark_column(column.values, column.present)
    calls.drops[at] += marked.dropped
    column.present, column.failed, column.kinds = marked.present, column.failed | marked.failed, None
    return cut_output(column, most)


def make_early(calls: Calls, columns: list[Column], numbers: Iterable[int]) -> None:
    """Make outputs before calls of the same stage have their values, which may change them."""
    for number in numbers:
        calls.early[number] = make_output(calls, number, columns[number])


def make_outputs(calls: Calls, columns: list[Column]) -> list[Output]:
    """Return all outputs of a stage."""
    early, numbers = calls.early, calls.stage.outputs
    return [early[at] if at in early else make_output(calls, at, columns[at]) for at in numbers]


def _can_leave(calls: Calls, number: int, column: Column, output: Output) -> bool:
    """Say whether an output can be pickled, and comes out of its pickle as far as that is not certain.

    Of each class one value is tried, and all of a class that has code of the user's own for that.
    """
    kinds = column.kinds or set(map(type, column.values))
    if kinds <= _PLAIN:
        return all(calls.worker.attempt(payload.encode)[1] is None for payload in output.payloads)
    kinds = kinds - calls.worker.known
    for payload in output.payloads:
        if calls.attempt_for(number, NOTHING, payload.encode)[1] is not None:
            return False
    strange = {type(value): value for value in column.values if type(value) in kinds} if kinds else {}
    if any(map(_has_own_code, strange)):
        tries = [payload.encode() for payload in output.payloads]
        return all(calls.attempt_for(number, NOTHING, decode, coded)[1] is None for coded in tries)
    for kind, value in strange.items():
        if calls.attempt_for(number, NOTHING, _carry, value)[1] is not None:
            return False
        calls.worker.known.add(kind)
    return True


def _has_own_code(kind: type) -> bool:
    """Say whether code of the user's own is called when values of a class are pickled or unpickled."""
    found = (getattr(kind, name, None) for name in _PICKLED_BY)
    return any(isinstance(each, FunctionType) and is_users_file(each.__code__.co_filename) for each in found)


def _check(calls: Calls, number: int, position: int, value: Any) -> Any:
    """Return a value, or what takes its place if it cannot leave."""
    call = calls.stage.calls[number]
    error = None if type(value) is Failure else _find_refusal(calls, number, position, value)
    if error is None:
        return value
    if calls.task.kind is Kind.CALL:
        given = calls.fail_call(call, position, error)
    else:  # a child, or the end of a fold: there is nothing to be tried again
        given = calls.settle(call, calls.fail(call, calls.key_of(position), error))
    if given is None or given is DROP or type(given) is Failure:
        return given
    error = _find_refusal(calls, number, position, given)
    return given if error is None else calls.fail_finally(call, position, error)


def _find_refusal(calls: Calls, number: int, position: int, value: Any) -> BaseException | None:
    """Return why a value cannot leave this process, or be taken up in another; `None`: it can."""
    _, error = calls.attempt_for(number, position, _carry, value)
    if error is None or issubclass(type(error), (ShippingError, ItemTimeout, MemoryError)):
        return error
    told = ShippingError(f"cannot return {describe(value)}: out of its pickle comes {tell_error(error)}")
    told.__cause__ = error
    return told


def _carry(value: Any) -> None:
    """See whether a value can leave this process and be taken up in another."""
    decode(encode([value]))
