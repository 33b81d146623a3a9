"""Values to bytes and back: pickle protocol 5 with big buffers out of band, dill only for what pickle refuses."""

from __future__ import annotations

import io
import pickle
import reprlib
from collections.abc import Callable, Iterator
from typing import Any

from papympi.errors import ShippingError

Buffer = bytes | bytearray | memoryview
Coded = tuple[Buffer, tuple[Buffer, ...]]

BIG = 16 * 1024
"""Buffers of at least this many bytes travel beside the pickle instead of being copied into it."""

_REFUSALS = (pickle.PicklingError, TypeError, AttributeError, RecursionError, NotImplementedError)

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 120
_brief.maxlevel = 3


def encode(values: list[Any]) -> Coded:
    """Return the pickled form of `values`.

    Raises:
        ShippingError: neither pickle nor dill can carry one of them; names it.
    """
    try:
        return _dump(values)
    except ShippingError as error:
        cause = error.__cause__
        raise ShippingError(f"cannot send {_name_culprit(values)} ({type(cause).__name__}: {cause})") from cause


def decode(coded: Coded) -> list[Any]:
    """Return the values; big buffers are not copied, they become theirs."""
    body, buffers = coded
    values: list[Any] = pickle.loads(body, buffers=buffers) if buffers else pickle.loads(body)
    return values


def describe(value: Any) -> str:
    """Return a `repr` of bounded length that never raises an ordinary exception."""
    return _brief.repr(value)


def _dump(values: list[Any]) -> Coded:
    """Return the pickled form of `values`; the cause of its `ShippingError` is what the picklers said."""
    buffers: list[Buffer] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BIG:
            return True
        buffers.append(raw)
        return False

    try:
        return pickle.dumps(values, 5, buffer_callback=keep), tuple(buffers)
    except Exception as error:
        if not isinstance(error, _REFUSALS):
            raise ShippingError(str(error)) from error
    buffers.clear()
    return _dump_with_dill(values, keep), tuple(buffers)


def _dump_with_dill(values: list[Any], keep: Callable[[pickle.PickleBuffer], bool]) -> bytes:
    """Return the pickle that dill makes of `values`; classes go by reference, so that they keep their identity."""
    import dill

    file = io.BytesIO()
    try:
        dill.Pickler(file, 5, byref=True, recurse=True, buffer_callback=keep).dump(values)
    except Exception as error:
        raise ShippingError(str(error)) from error
    return file.getvalue()


def _name_culprit(values: list[Any]) -> str:
    """Return which of `values` cannot be sent, and which part of it."""
    for index, value in enumerate(values):
        if not _is_sendable(value):
            path, culprit = _descend(value)
            inside = f", because of value{path}, a {_kind(culprit)}: {describe(culprit)}" if path else ""
            return f"value {index} of {len(values)}, a {_kind(value)}: {describe(value)}{inside}"
    return describe(values)


def _is_sendable(value: Any) -> bool:
    try:
        _dump([value])
    except ShippingError:
        return False
    return True


def _descend(value: Any, path: str = "") -> tuple[str, Any]:
    """Return the innermost part of `value` that cannot be sent, and the way to it."""
    for _ in range(8):
        for step, part in _parts(value):
            if not _is_sendable(part):
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a container or an object, each with the step that leads to it."""
    if isinstance(value, dict):
        yield from ((f"[{describe(key)}]", part) for key, part in list(value.items())[:1000])
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", part) for index, part in enumerate(value[:1000]))
    else:
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
