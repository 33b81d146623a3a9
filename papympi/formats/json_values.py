"""Values as JSON can write them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from papympi.workers.evaluation.attempt import attempt_interruptibly


def to_plain(value: Any) -> tuple[Any, bool]:
    """Return a value as JSON can write it, and whether nothing in it had to be replaced by its `repr`.

    Numpy scalars and arrays become numbers and lists; dataclasses and named tuples objects; tuples and sets lists (sets
    sorted); paths, dates and enumeration members strings, or the member's value. NaN and infinities, which JSON has
    not, become `null`.
    """
    misfits: list[Any] = []
    plain, error = attempt_interruptibly(_plain, value, misfits)
    if error is None:
        return plain, not misfits
    return _describe(value), False


def dump(plain: Any) -> str:
    """Return what `to_plain` has made as JSON; integers with all their digits, however many."""
    text: str = _with_all_digits(partial(json.dumps, plain, ensure_ascii=False))
    return text


def load(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        json.JSONDecodeError: it is none.
    """
    return _with_all_digits(partial(json.loads, text))


def _with_all_digits(function: Callable[[], Any]) -> Any:
    """Call a function, again without the limit on digits if that is what it raises of."""
    try:
        return function()
    except json.JSONDecodeError:
        raise
    except ValueError:
        most = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
    try:
        return function()
    finally:
        sys.set_int_max_str_digits(most)


def _describe(value: Any) -> str:
    """Return the `repr` of a value, or that of any object if its own raises."""
    text, error = attempt_interruptibly(repr, value)
    return text if error is None and isinstance(text, str) else object.__repr__(value)


_ATOMS = (str, int, float, bool, type(None))


def _plain(value: Any, misfits: list[Any]) -> Any:
    """Return the plain form of a value; what has none is put on `misfits`."""
    if type(value) in _ATOMS:
        return None if type(value) is float and not math.isfinite(value) else value
    fields = to_record(value)
    if fields is not None:
        return {plain_key(key): _plain(item, misfits) for key, item in fields.items()}
    if isinstance(value, list | tuple | deque):
        return [_plain(item, misfits) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, misfits) for item in value), key=lambda item: (str(type(item)), dump(item)))
    return _plain_object(value, misfits)


def _plain_object(value: Any, misfits: list[Any]) -> Any:
    """Return the plain form of a value that is no container of Python's own."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    for method in ("tolist", "isoformat"):
        if callable(convert := getattr(value, method, None)):
            return _plain(convert(), misfits)
    enumerated = getattr(type(value), "__members__", None)
    if enumerated is not None:
        return _plain(value.value, misfits)
    for atom in _ATOMS[:3]:
        if isinstance(value, atom):
            return _plain(atom(value), misfits)
    misfits.append(value)
    return _describe(value)


def plain_key(key: Any) -> str:
    """Return a key of a JSON object."""
    return key if isinstance(key, str) else str(key)


def to_record(value: Any) -> dict[Any, Any] | None:
    """Return the fields of a dict, a dataclass object or a named tuple; `None` for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and names is not None:
        return dict(zip(names, value, strict=True))
    return None
