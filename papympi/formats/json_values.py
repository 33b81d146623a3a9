"""Values as JSON can write them."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Mapping
from typing import Any


def to_plain(value: Any) -> tuple[Any, bool]:
    """Return a value as JSON can write it, and whether nothing in it had to be replaced by its `repr`.

    Numpy scalars and arrays become numbers and lists; dataclasses and named tuples objects; tuples and sets lists (sets
    sorted); paths, dates and enumeration members strings, or the member's value.
    """
    misfits: list[Any] = []
    try:
        plain = _plain(value, misfits)
    except RecursionError:
        return repr(value), False
    return plain, not misfits


_ATOMS = (str, int, float, bool, type(None))


def _plain(value: Any, misfits: list[Any]) -> Any:
    """Return the plain form of a value; what has none is put on `misfits`."""
    if type(value) in _ATOMS:
        return value
    fields = to_record(value)
    if fields is not None:
        return {plain_key(key): _plain(item, misfits) for key, item in fields.items()}
    if isinstance(value, list | tuple | deque):
        return [_plain(item, misfits) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, misfits) for item in value), key=lambda item: (str(type(item)), str(item)))
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
            return atom(value)
    misfits.append(value)
    return repr(value)


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
