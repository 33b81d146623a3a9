"""Values on their way: an opaque payload is opened only by whoever needs what is in it, and pickled at most once.

They are pickled by protocol 5 with big buffers out of band, and by dill where pickle refuses.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pickle import PickleBuffer
from typing import Any, Final

import papympi.transport.sentinels  # noqa: F401 - values are pickled as it tells pickle
from papympi.errors import ShippingError
from papympi.model.attempt import attempt_interruptibly
from papympi.model.item import carry_errors_with, open_error, seal_error
from papympi.model.telling import describe, describe_kind, tell_error
from papympi.transport.blame import find_culprit
from papympi.transport.lending import adopt, own

Buffer = bytes | bytearray | memoryview
Coded = tuple[Buffer, tuple[Buffer, ...]]

BIG = 16 * 1024
"""Buffers of at least this many bytes travel beside the pickle instead of being copied into it."""

_REFUSALS = (pickle.PicklingError, TypeError, AttributeError, RecursionError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Unsendable:
    """Stands for a value that could not be sent, or did not come out of its pickle: who needs it fails with `error`."""

    error: BaseException

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive_unsendable, seal_error(self.error)

    def explain(self) -> ShippingError:
        """Return the error as users know it."""
        if isinstance(self.error, ShippingError):
            return self.error
        found = ShippingError(f"out of its pickle comes {tell_error(self.error)}")
        found.__cause__ = self.error
        return found


def _revive_unsendable(*sealed: Any) -> Unsendable:
    return Unsendable(open_error(sealed))


_OWN: Final = b"papympi"
_BUFFERS: Final = (bytes, bytearray, str)
_HOLDERS: Final = (tuple, list, dict)
FEW: Final = 16
"""A container of more values than this is not looked into to find out how many bytes it has."""


class Payload:
    """The values of some consecutive positions: live objects, or their pickled form, or both.

    A payload is never changed. Pickling one into a message costs nothing but the bytes that it already holds.

    Attributes:
        count: how many positions it covers.
    """

    __slots__ = ("_coded", "_spoiled", "_values", "count")

    def __init__(self, values: list[Any] | None = None, coded: Coded | None = None, count: int = -1) -> None:
        self._values = values
        self._coded = coded
        self._spoiled = False
        self.count = count if values is None else len(values)

    def values(self, *, last: bool = False) -> list[Any]:
        """Return the values, unpickling them the first time; do not change the list. Each that raises is `Unsendable`.

        Args:
            last: they are for the consumer of the run, and nothing else will ever need what the payload holds.
        """
        if self._values is None:
            assert self._coded is not None
            _, error = attempt_interruptibly(partial(self.open, last=last))
            if error is not None:
                self.salvage(error)
            assert self._values is not None
        return self._values

    def open(self, *, last: bool = False) -> list[Any]:
        """Do the same, but raise what one of the values raises when it is unpickled."""
        if self._values is None:
            self._values = decode(self.encode(), last=last)
            if last:
                self._coded = None
        return self._values

    def open_apart(self) -> list[Any] | None:
        """Return values that nobody else ever has; `None` if there is no pickle to make them of, or one of them raises.

        Whoever opens the payload has the same objects as all others who do.
        """
        if self._values is not None:
            return None
        values: list[Any] | None = attempt_interruptibly(lambda: decode(self.encode()))[0]
        return values

    def salvage(self, error: BaseException) -> None:
        """Have values of which one has raised."""
        from papympi.transport.salvage import salvage

        body, buffers = self.encode()
        values, damage = attempt_interruptibly(salvage, body, map(own, buffers), Unsendable)
        self._values = values if damage is None else [Unsendable(error)] * self.count
        self._spoiled, self._coded = True, None

    def is_closed(self) -> bool:
        """Return whether nobody has opened it here."""
        return self._values is None

    def pick(self, wanted: Collection[int], note: Callable[[int], None]) -> list[Any]:
        """Return the values, of which only some are opened; `note` is called with the number of each before it is."""
        from papympi.transport.picky import pick

        body, buffers = self.encode()
        return pick(bytes(body), map(own, buffers), wanted, note, Unsendable)

    def is_spoiled(self) -> bool:
        """Return whether values did not come out of the pickle; what stands for these is `Unsendable`."""
        return self._spoiled

    def cut(self, start: int, stop: int) -> tuple[Payload, int]:
        """Return a payload that holds at least `start`..`stop`, no more than must be, and the new place of `start`."""
        if self._coded is None and self._values is not None and (start, stop) != (0, self.count):
            return Payload(self._values[start:stop]), 0
        return self, start

    def is_plain(self) -> bool:
        """Return whether no value is, or holds, an object of papympi's own, such as a failure; `False`: it may be.

        A pickle names the module of every class that it needs. What has not been opened may not be able to.
        """
        if self._coded is None or self._values is None:
            return False
        body = self._coded[0]
        return _OWN not in (bytes(body) if isinstance(body, memoryview) else body)

    def weigh(self) -> int:
        """Return how many bytes the pickled form has; while there is none, what the first value says of itself."""
        if self._coded is not None:
            body, buffers = self._coded
            return len(body) + sum(map(len, buffers)) if buffers else len(body)
        return _count_bytes(self._values[0]) * self.count if self._values else 0

    def encode(self) -> Coded:
        """Return the pickled form, making it the first time, as `encode` does it."""
        if self._coded is None:
            assert self._values is not None
            self._coded = encode(self._values)
        return self._coded

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, self.to_wire()

    def to_wire(self) -> tuple[Any, ...]:
        """Return what `revive` makes the payload of; big buffers are not copied when it is pickled."""
        coded, error = attempt_interruptibly(self.encode)
        if error is not None:
            # One value that cannot be sent must not hold up the others: each travels or is replaced on its own.
            self._coded = coded = encode([_replace_unsendable(value) for value in self.values()])
        body, buffers = coded
        outside = PickleBuffer(body) if len(body) >= BIG else body
        if buffers:
            return self.count, outside, [PickleBuffer(buffer) for buffer in buffers]
        return self.count, outside

    def __repr__(self) -> str:
        state = "coded" if self._values is None else "live"
        return f"Payload({self.count} {state})"


def _count_bytes(value: Any) -> int:
    """Return how many bytes a text, a buffer or an array has, or those in a tuple, list or dict of a few; else 0."""
    total = 0
    parts: Iterable[Any] = (value,)
    if isinstance(value, _HOLDERS) and len(value) <= FEW:
        parts = value.values() if isinstance(value, dict) else value
    for part in parts:
        size = len(part) if isinstance(part, _BUFFERS) else getattr(part, "nbytes", 0)
        total += size if isinstance(size, int) else 0
    return total


def revive(count: int, body: Buffer, buffers: Sequence[Buffer] = ()) -> Payload:
    """Return the payload that `Payload.to_wire` took apart."""
    return Payload(None, (body, tuple(buffers)), count)


def _replace_unsendable(value: Any) -> Any:
    """Return `value`, or what stands for it if it cannot be sent."""
    _, error = attempt_interruptibly(encode, [value])
    return value if error is None else Unsendable(error)


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
    """Return the pickled form of `values`; the `ShippingError` of one that cannot be carried names it."""
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


class _CarriedError:
    """Stands in a pickle for an exception whose class plain pickle does not know; out of it comes the exception."""

    def __init__(self, coded: Coded) -> None:
        self._coded = coded

    def __reduce__(self) -> tuple[Any, ...]:
        return _decode_error, self._coded


def _carry_error(error: BaseException) -> _CarriedError | None:
    """Return what is pickled instead of an exception, if it can be carried and comes back as the same kind."""
    try:
        body, buffers = encode([error])
        coded = bytes(body), tuple(map(bytes, buffers))
        copy = _decode_error(*coded)
    except (ShippingError, *_REFUSALS, ImportError, ValueError):
        return None
    return _CarriedError(coded) if type(copy) is type(error) else None


def _decode_error(body: bytes, buffers: tuple[bytes, ...]) -> BaseException:
    return decode((body, buffers))[0]  # type: ignore[no-any-return]  # the exception that was carried


carry_errors_with(_carry_error)


def _dump(values: list[Any]) -> Coded:
    """Return the pickled form of `values`; the cause of its `ShippingError` is what the picklers said."""
    buffers: list[memoryview] = []
    keep = sort_out(buffers)
    try:
        return pickle.dumps(values, 5, buffer_callback=keep), tuple(buffers)
    except _REFUSALS:
        buffers.clear()  # dill may know better
    except Exception as error:
        raise ShippingError(tell_error(error)) from error
    from papympi.transport import pickling

    file = io.BytesIO()
    pickling.dump(pickling.make_pickler(file, pickling.Reducer(), keep), values)
    return file.getvalue(), tuple(buffers)


def _name_culprit(values: list[Any]) -> str:
    """Return which of `values` cannot be sent, and which part of it."""
    for index, value in enumerate(values):
        if not _is_sendable(value):
            what, culprit = find_culprit("it", value, _is_sendable)
            inside = f"; at fault is {what}, a {describe_kind(culprit)}" if culprit is not value else ""
            return f"value {index} of {len(values)}, a {describe_kind(value)}: {describe(value)}{inside}"
    return describe(values)


def _is_sendable(value: Any) -> bool:
    return attempt_interruptibly(_dump, [value])[1] is None
