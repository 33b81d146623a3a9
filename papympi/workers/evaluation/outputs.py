"""Columns on their way home: what cannot leave this process, or be taken up in another, fails alone.

It is no different from what the function itself raises: the item is tried again, dropped or healed as its node says.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.model.item import DROP, Failure
from papympi.model.telling import describe, tell_error
from papympi.model.users_code import is_users_file
from papympi.plan.program import Call
from papympi.transport.payload import decode, encode
from papympi.transport.task import Kind, Output
from papympi.workers.evaluation.alarm import Overdue
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Column, cut_output, mark_column, positions_of
from papympi.workers.evaluation.progress import NOTHING

_PICKLED_BY: Final = ("__reduce__", "__reduce_ex__", "__setstate__", "__new__", "__setattr__", "__hash__")
"""What may be called when an object comes out of its pickle, or says what is."""


def make_output(calls: Calls, number: int, column: Column) -> Output:
    """Return a column as an output; what cannot be pickled, or does not come out of its pickle, fails alone."""
    most = calls.task.max_payload
    output = cut_output(column, most)
    call = calls.stage.calls[max(number - calls.stage.inputs, 0)]
    if not calls.worker.sends or _can_leave(calls, call, column, output):
        return output
    before = len(calls.again)
    for position in positions_of(column.present, len(column.values)):
        column.values[position] = _check(calls, call, position, column.values[position])
    at = calls.find(call)
    calls.calls[at] -= len(calls.again) - before
    marked = mark_column(column.values, column.present)
    calls.drops[at] += marked.dropped
    return cut_output(marked, most)


def _can_leave(calls: Calls, call: Call, column: Column, output: Output) -> bool:
    """Say whether an output can be pickled, and comes out of its pickle as far as that is not certain.

    Of each class one value is tried, and all of a class that has code of the user's own for that.
    """
    kinds = (column.kinds or set(map(type, column.values))) - calls.worker.known
    for payload in output.payloads:
        if calls.attempt_for(call, NOTHING, payload.encode)[1] is not None:
            return False
    strange = {type(value): value for value in column.values if type(value) in kinds} if kinds else {}
    if any(map(_has_own_code, strange)):
        tries = [payload.encode() for payload in output.payloads]
        return all(calls.attempt_for(call, NOTHING, decode, coded)[1] is None for coded in tries)
    for kind, value in strange.items():
        if calls.attempt_for(call, NOTHING, _carry, value)[1] is not None:
            return False
        calls.worker.known.add(kind)
    return True


def _has_own_code(kind: type) -> bool:
    """Say whether code of the user's own is called when values of a class are pickled or unpickled."""
    found = (getattr(kind, name, None) for name in _PICKLED_BY)
    return any(isinstance(each, FunctionType) and is_users_file(each.__code__.co_filename) for each in found)


def _check(calls: Calls, call: Call, position: int, value: Any) -> Any:
    """Return a value, or what takes its place if it cannot leave."""
    error = None if type(value) is Failure else _find_refusal(calls, call, position, value)
    if error is None:
        return value
    if calls.task.kind is Kind.CALL:
        given = calls.fail_call(call, position, error)
    else:  # a child, or the end of a fold: there is nothing to be tried again
        given = calls.settle(call, calls.fail(call, calls.key_of(position), error))
    if given is None or given is DROP or type(given) is Failure:
        return given
    error = _find_refusal(calls, call, position, given)
    return given if error is None else calls.fail_finally(call, position, error)


def _find_refusal(calls: Calls, call: Call, position: int, value: Any) -> BaseException | None:
    """Return why a value cannot leave this process, or be taken up in another; `None`: it can."""
    _, error = calls.attempt_for(call, position, _carry, value)
    if error is None or issubclass(type(error), (ShippingError, Overdue, MemoryError)):
        return error
    told = ShippingError(f"cannot return {describe(value)}: out of its pickle comes {tell_error(error)}")
    told.__cause__ = error
    return told


def _carry(value: Any) -> None:
    """See whether a value can leave this process and be taken up in another."""
    decode(encode([value]))
