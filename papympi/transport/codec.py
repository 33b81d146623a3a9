"""Values to bytes and back: pickle protocol 5 with big buffers out of band, dill only for what pickle refuses."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from papympi.errors import ShippingError
from papympi.transport.blame import describe, describe_kind, find_culprit
from papympi.transport.lending import adopt, own

Buffer = bytes | bytearray | memoryview
Coded = tuple[Buffer, tuple[Buffer, ...]]

BIG = 16 * 1024
"""Buffers of at least this many bytes travel beside the pickle instead of being copied into it."""

_REFUSALS = (pickle.PicklingError, TypeError, AttributeError, RecursionError, NotImplementedError)


def sort_out(big: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """Return what a pickler calls with each buffer: big ones go onto a list, the others stay in the pickle."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BIG:
            return True
        big.append(raw)
        return False

    return keep


def encode(values: list[Any]) -> Coded:
    """Return the pickled form of `values`.

    Raises:
        ShippingError: neither pickle nor dill can carry one of them; names it.
    """
    try:
        return _dump(values)
    except ShippingError as error:
        raise ShippingError(f"cannot send {_name_culprit(values)} ({error})") from error.__cause__


def decode(coded: Coded, *, last: bool = False) -> list[Any]:
    """Return the values; big buffers become theirs, and are copied only out of shared blocks.

    Args:
        coded: their pickled form.
        last: it will not be needed again: not even out of shared blocks anything has to be copied.
    """
    body, buffers = coded
    values: list[Any] = (
        pickle.loads(body, buffers=map(adopt if last else own, buffers)) if buffers else pickle.loads(body)
    )
    return values


def _dump(values: list[Any]) -> Coded:
    """Return the pickled form of `values`; the cause of its `ShippingError` is what the picklers said."""
    buffers: list[memoryview] = []
    keep = sort_out(buffers)
    try:
        return pickle.dumps(values, 5, buffer_callback=keep), tuple(buffers)
    except Exception as error:
        if not isinstance(error, _REFUSALS):
            raise ShippingError(f"{type(error).__name__}: {error}") from error
    buffers.clear()
    return _dump_with_dill(values, keep), tuple(buffers)


def _dump_with_dill(values: list[Any], keep: Callable[[pickle.PickleBuffer], bool]) -> bytes:
    from papympi.transport import pickling

    file = io.BytesIO()
    pickling.dump(pickling.make_pickler(file, pickling.Reducer(), keep), values)
    return file.getvalue()


def _name_culprit(values: list[Any]) -> str:
    """Return which of `values` cannot be sent, and which part of it."""
    for index, value in enumerate(values):
        if not _is_sendable(value):
            what, culprit = find_culprit("it", value, _is_sendable)
            inside = f"; at fault is {what}, a {describe_kind(culprit)}" if culprit is not value else ""
            return f"value {index} of {len(values)}, a {describe_kind(value)}: {describe(value)}{inside}"
    return describe(values)


def _is_sendable(value: Any) -> bool:
    try:
        _dump([value])
    except ShippingError:
        return False
    return True
