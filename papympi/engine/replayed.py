"""Payloads that stand for what an earlier attempt at a run has made."""

from __future__ import annotations

from typing import Any

from papympi.transport.codec import Coded
from papympi.transport.payload import Payload


class ReplayedPayload(Payload):
    """What comes from a store, so that it is not kept again."""

    __slots__ = ()


class KeptPayload(ReplayedPayload):
    """The values of a payload of the store."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Payload) -> None:
        super().__init__(None, None, inner.count)
        self._inner = inner

    def values(self, *, last: bool = False) -> list[Any]:
        """Return the values."""
        return self._inner.values(last=last)

    def cut(self, start: int, stop: int) -> tuple[Payload, int]:
        """Return a payload that holds at least `start`..`stop`."""
        return self._inner.cut(start, stop)

    def weigh(self) -> int:
        """Return about how many bytes it has."""
        return self._inner.weigh()

    def encode(self) -> Coded:
        """Return the pickled form."""
        return self._inner.encode()


class SparedPayload(ReplayedPayload):
    """Stands for values that nobody needs any more: all that comes of them is known."""

    __slots__ = ()

    def __init__(self, count: int) -> None:
        super().__init__(None, None, count)

    def values(self, *, last: bool = False) -> list[Any]:  # noqa: ARG002 - as others have it
        """Refuse to be opened."""
        raise AssertionError("a value that was not computed is wanted after all")

    def cut(self, start: int, stop: int) -> tuple[Payload, int]:
        """Refuse to be sent."""
        raise AssertionError(f"values {start} to {stop} were not computed, and are wanted after all")

    def encode(self) -> Coded:
        """Refuse to be sent."""
        raise AssertionError("a value that was not computed is to be sent after all")
