"""Blocks that children have filled, lent to their parent: views that are handed on, copied, or left to the consumer.

What functions get, they may keep and change as they like: it is a copy. The consumer of results gets the blocks
themselves, since nobody else needs them any more: a copy costs as much as the function, if that is brief. A consumer
that keeps many of them gets copies from some point on, so that the children do not run out of blocks. Before its
process forks, what it has becomes ordinary memory: the fork would share it with the children otherwise.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, Final

from papympi.transport.arena import Arena, ChildAllocator
from papympi.transport.heap import copy
from papympi.transport.memfile import NONE, ArenaPart, Bytes, drain, find_owner, make_private
from papympi.transport.relaying import RelayAllocator


class ParentAllocator:
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
        self._adopted: dict[int, weakref.ref[Any]] = {}
        self._detached: set[int] = set()
        self.held: list[memoryview] = []
        self.returned: list[int] = []
        _ALLOCATORS.add(self)

    @property
    def descriptor(self) -> int:
        """The memory file."""
        return self._arena.descriptor

    def put(self, buffer: memoryview) -> int:
        """Return the offset of a block that holds a buffer; -1: there is no room."""
        view = self._arena.keep(buffer)
        if view is None:
            return NONE
        self.held.append(view)
        return self._arena.memory.locate(view)

    def locate(self, view: memoryview) -> int:
        """Return the offset of the block that a view is of."""
        return self._arena.memory.locate(view)

    def get(self, offset: int, size: int) -> memoryview:
        """Return a view of a block that the child has filled."""
        self._lent[offset] = size
        self._size += size
        return self._arena.memory.lend(offset, size, self.returned, self)

    def take_held(self) -> list[memoryview]:
        """Return what has been put since the last time."""
        held, self.held = self.held, []
        return held

    def take_returned(self) -> list[int]:
        """Return the offsets of the child's blocks that are free again."""
        offsets = [offset for offset in drain(self.returned) if offset not in self._detached]
        for offset in offsets:
            self._size -= self._lent.pop(offset)
            self._adopted.pop(offset, None)
        return offsets

    def let_adopt(self, block: Any) -> bool:
        """Return whether somebody may keep a block and change it: more than half of the child's are not lent."""
        if 2 * self._size > self._arena.share:
            return False
        self._adopted[self._arena.memory.locate(memoryview(block))] = weakref.ref(block)
        return True

    def detach(self) -> None:
        """Make ordinary memory of the blocks that somebody has adopted; the child never gets these back."""
        for offset, found in list(self._adopted.items()):
            block = found()
            if block is not None and make_private(block):
                self._detached.add(offset)
        self._adopted.clear()

    def child_part(self) -> ArenaPart:
        """Return the part of a fresh child: all blocks in it are its own but those that are still lent."""
        self.take_returned()
        return self._arena.part_of(self._number, list(self._lent.items()))


_ALLOCATORS: Final[weakref.WeakSet[ParentAllocator]] = weakref.WeakSet()

Blocks = ParentAllocator | ChildAllocator | RelayAllocator
"""One end of a connection between processes that share blocks."""


def own(buffer: Bytes) -> Bytes:
    """Return a buffer that nobody else has: a copy of a block, anything else as it is."""
    return copy(memoryview(buffer)) if isinstance(find_owner(buffer), ctypes.Array) else buffer


def adopt(buffer: Bytes) -> Bytes:
    """Return a buffer for somebody who may keep and change it, when nobody else will ever need it: the block itself.

    If too many of a child's blocks are lent already, it is a copy.
    """
    block = find_owner(buffer)
    allocator = getattr(block, "allocator", None)
    return buffer if isinstance(allocator, ParentAllocator) and allocator.let_adopt(block) else own(buffer)


def _detach_all() -> None:
    """Make ordinary memory of all that the consumers of this process have, before it is forked."""
    for allocator in list(_ALLOCATORS):
        allocator.detach()


os.register_at_fork(before=_detach_all)
