"""Blocks that children have filled, lent to their parent: views that are handed on, copied, or left to the consumer.

What functions get, they may keep and change as they like: it is a copy. The consumer of results gets the blocks
themselves, since nobody else needs them any more: a copy costs as much as the function, if that is brief. A consumer
that keeps many of them gets copies from some point on, so that the children do not run out of blocks.
"""

from __future__ import annotations

import ctypes

from papympi.transport.arena import Arena, Tenant
from papympi.transport.heap import copy
from papympi.transport.memfile import NONE, Bytes, Terms, drain, find_owner
from papympi.transport.passage import Passage
from papympi.transport.regions import Block


class Lender:
    """The parent's end of an arena as the connection to one child needs it.

    Args:
        arena: what it lends from.
        number: the child's number.

    Attributes:
        held: what has been put since `take_held`: the child may read it until it has answered.
        returned: offsets of the child's blocks that are free again, which it has not been told yet.
    """

    def __init__(self, arena: Arena, number: int) -> None:
        self._arena = arena
        self._number = number
        self._lent: dict[int, int] = arena.loans[number]
        self._size = 0
        self.held: list[memoryview] = []
        self.returned: list[int] = []

    @property
    def descriptor(self) -> int:
        """The memory file."""
        return self._arena.descriptor

    @property
    def is_rich(self) -> bool:
        """More than half of the child's blocks are not lent."""
        return 2 * self._size <= self._arena.share

    def put(self, buffer: memoryview) -> int:
        """Return the offset of a block that holds a buffer; -1: there is no room."""
        view = self._arena.keep(buffer)
        if view is None:
            return NONE
        self.held.append(view)
        return self._arena.locate(view)

    def locate(self, view: memoryview) -> int:
        """Return the offset of the block that a view is of."""
        return self._arena.locate(view)

    def get(self, offset: int, size: int) -> memoryview:
        """Return a view of a block that the child has filled."""
        self._lent[offset] = size
        self._size += size
        return self._arena.lend(offset, size, self.returned, self)

    def take_held(self) -> list[memoryview]:
        """Return what has been put since the last time."""
        held, self.held = self.held, []
        return held

    def take_returned(self) -> list[int]:
        """Return the offsets of the child's blocks that are free again."""
        offsets = drain(self.returned)
        for offset in offsets:
            self._size -= self._lent.pop(offset)
        return offsets

    def terms(self) -> Terms:
        """Return what a fresh child has to know: all blocks are its own but those that are still lent."""
        self.take_returned()
        lent: list[Block] = list(self._lent.items())
        return self._arena.terms(self._number, lent)


Blocks = Lender | Tenant | Passage
"""One end of a connection between processes that share blocks."""


def own(buffer: Bytes) -> Bytes:
    """Return a buffer that nobody else has: a copy of a block, anything else as it is."""
    return copy(memoryview(buffer)) if isinstance(find_owner(buffer), ctypes.Array) else buffer


def adopt(buffer: Bytes) -> Bytes:
    """Return a buffer for somebody who may keep and change it, when nobody else will ever need it: the block itself.

    If too many of a child's blocks are lent already, it is a copy.
    """
    lender = getattr(find_owner(buffer), "lender", None)
    return buffer if isinstance(lender, Lender) and lender.is_rich else own(buffer)
