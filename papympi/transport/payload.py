"""Opaque values on their way: a payload is opened only by whoever needs what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.transport import codec


@dataclass(frozen=True, slots=True)
class Unsendable:
    """Stands for a value that could not be sent to a worker: calls that need it fail with `error`."""

    error: BaseException


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

    __slots__ = ("_coded", "_values", "count")

    def __init__(self, values: list[Any] | None = None, coded: codec.Coded | None = None, count: int = -1) -> None:
        self._values = values
        self._coded = coded
        self.count = count if values is None else len(values)

    def values(self, *, last: bool = False) -> list[Any]:
        """Return the values, unpickling them the first time; do not change the list.

        Args:
            last: they are for the consumer of the run, and nothing else will ever need what the payload holds.
        """
        if self._values is None:
            assert self._coded is not None
            self._values = codec.decode(self._coded, last=last)
            if last:
                self._coded = None
        return self._values

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

    def encode(self) -> codec.Coded:
        """Return the pickled form, making it the first time.

        Raises:
            ShippingError: neither pickle nor dill can carry a value; names it.
        """
        if self._coded is None:
            assert self._values is not None
            self._coded = codec.encode(self._values)
        return self._coded

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, self.to_wire()

    def to_wire(self) -> tuple[Any, ...]:
        """Return what `revive` makes the payload of; big buffers are not copied when it is pickled."""
        try:
            body, buffers = self.encode()
        except ShippingError:
            # One value that cannot be sent must not hold up the others: each travels or is replaced on its own.
            self._coded = body, buffers = codec.encode([_replace_unsendable(value) for value in self.values()])
        outside = PickleBuffer(body) if len(body) >= codec.BIG else body
        if buffers:
            return self.count, outside, [PickleBuffer(buffer) for buffer in buffers]
        return self.count, outside

    def __repr__(self) -> str:
        state = "coded" if self._values is None else "live"
        return f"Payload({self.count} {state})"


def _count_bytes(value: Any) -> int:
    """Return how many bytes a buffer or an array has, or those in a tuple, list or dict of a few; else 0."""
    if isinstance(value, _HOLDERS) and len(value) <= FEW:
        return sum(map(_count_buffer, value.values() if isinstance(value, dict) else value))
    return _count_buffer(value)


def _count_buffer(value: Any) -> int:
    """Return how many bytes a text, a buffer or an array has; 0 for anything else."""
    if isinstance(value, _BUFFERS):
        return len(value)
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


def revive(count: int, body: codec.Buffer, buffers: Sequence[codec.Buffer] = ()) -> Payload:
    """Return the payload that `Payload.to_wire` took apart."""
    return Payload(None, (body, tuple(buffers)), count)


def _replace_unsendable(value: Any) -> Any:
    """Return `value`, or what stands for it if it cannot be sent."""
    try:
        codec.encode([value])
    except ShippingError as error:
        return Unsendable(error)
    return value
