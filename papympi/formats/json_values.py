"""Values as JSON can write them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from papympi.model.telling import UNSAFE, from_digits, to_digits
from papympi.workers.evaluation.attempt import attempt_interruptibly

NonFinite = Literal["null", "text", "bare"]
"""How NaN and the infinities, which JSON has not, are written: `null`, `"NaN"`, or `NaN`, which Python can read."""


def to_plain(value: Any) -> tuple[Any, bool]:
    """Return a value as JSON can write it, and whether nothing in it had to be replaced by its `repr`.

    Numpy scalars and arrays become numbers and lists; dataclasses and named tuples objects; tuples and sets lists (sets
    sorted); paths, dates and enumeration members strings, or the member's value. NaN and infinities stay: `dump` sees
    to them.
    """
    misfits: list[Any] = []
    plain, error = attempt_interruptibly(_plain, value, misfits)
    if error is None:
        return plain, not misfits
    return _describe(value), False


def dump(plain: Any, non_finite: NonFinite = "null") -> str:
    """Return what `to_plain` has made as JSON; integers with all their digits, however many.

    Control characters are escapes, those too that JSON would allow: so the text does no harm to a terminal, and says
    the same.
    """
    try:
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except ValueError:  # of numbers that JSON has not, or too long for Python's limit, which all threads have in common
        text = _write(plain, non_finite)
    return text if text.isascii() and "\x7f" not in text else UNSAFE.sub(_escape, text)


def _write(plain: Any, non_finite: NonFinite) -> str:
    """Return plain values as JSON, whatever numbers are in them."""
    if isinstance(plain, dict):
        return f"{{{', '.join(f'{dump(key)}: {_write(item, non_finite)}' for key, item in plain.items())}}}"
    if isinstance(plain, list):
        return f"[{', '.join(_write(item, non_finite) for item in plain)}]"
    if isinstance(plain, float) and not math.isfinite(plain):
        word = json.dumps(plain)
        return {"null": "null", "text": f'"{word}"', "bare": word}[non_finite]
    if type(plain) is int:
        return to_digits(plain)
    return json.dumps(plain, ensure_ascii=False)


def _escape(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"


def load(text: str | bytes) -> Any:
    """Return the value of a JSON text, with NaN and infinities if it has them, and integers of any length.

    Raises:
        json.JSONDecodeError: it is none.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=from_digits)


def _describe(value: Any) -> str:
    """Return the `repr` of a value, or that of any object if its own raises."""
    text, error = attempt_interruptibly(repr, value)
    return text if error is None and isinstance(text, str) else object.__repr__(value)


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
    return key if isinstance(key, str) else to_digits(key) if type(key) is int else str(key)


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
