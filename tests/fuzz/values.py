"""The values that random nodes pass on: a number as it is, or in a dress: with a buffer, in a list, an exception ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from papympi import DROP
from tests.fuzz.specs import Spec


class Damaged(BaseException):
    """A big value is not what it was."""


class Odd(Exception):
    """An exception that is an ordinary value."""


def _make_array(number: int) -> Any:
    import numpy as np

    return np.array([number])


DRESSES: tuple[Callable[[int], Any], ...] = (
    lambda number: ["odd", number],
    lambda number: {"number": number},
    Odd,
    _make_array,
    lambda number: ("odd", ["odd", number]),
)
"""In which dresses a number may come."""


def pattern(number: int, size: int) -> bytes:
    """Return the buffer of a big value."""
    return (number.to_bytes(8, "little") * (size // 8 + 1))[:size]


def dress(spec: Spec, number: Any) -> Any:
    """Return a result: sometimes with a big buffer, sometimes in an odd dress."""
    if number is DROP:
        return number
    if spec.big and number % 3 == 0:
        data = pattern(number, spec.big)
        return ("big", number, bytearray(data) if number % 2 else data)
    if spec.odd and number % 4:
        return DRESSES[number // 4 % len(DRESSES)](number)
    return number


def plain(value: Any, *, mutates: bool = False) -> Any:
    """Return what a value stands for; look at every byte of a big one, and change whatever can be changed."""
    if isinstance(value, (tuple, list)):
        return _read_sequence(value, mutates=mutates)
    if isinstance(value, Odd):
        return value.args[0]
    if isinstance(value, dict):
        return value.pop("number") if mutates else value["number"]
    if hasattr(value, "dtype"):
        found = int(value[0])
        if mutates:
            value[0] = 0
        return found
    return value


def _read_sequence(value: Any, *, mutates: bool) -> Any:
    if isinstance(value, tuple) and value[:1] == ("big",):
        return _read_big(*value[1:], mutates=mutates)
    if value and isinstance(value[0], str):
        found = plain(value[1], mutates=mutates)
    else:
        found = type(value)(plain(each, mutates=mutates) for each in value)
    if mutates and isinstance(value, list):
        value.clear()
    return found


def _read_big(number: int, data: Any, *, mutates: bool) -> int:
    if bytes(data) != pattern(number, len(data)):
        raise Damaged(f"big value {number} is damaged")
    if mutates and isinstance(data, bytearray):
        data[:] = bytes(len(data))
    return number


def read_row(spec: Spec, values: Sequence[Any]) -> list[Any]:
    """Return what the inputs of a call stand for; those that are its own are changed."""
    return [plain(value, mutates=name in spec.own) for name, value in zip(spec.inputs, values, strict=True)]
