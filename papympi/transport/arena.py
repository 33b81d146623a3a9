"""Big buffers between the processes of one host: in blocks of shared memory that are used over and over.

One memory file without a name holds everything, so there is nothing to remove whoever dies. A part of it belongs to the
process that hands out tasks, and a part to each of its children: each takes blocks from its own part without asking.

    parent: put a value into a block of its own ──handle──▶ child: copy it out into ordinary memory
    parent: lend a block of the child's ◀──handle── child: put a result into a block of its own

What is lent is a view. As long as anything of the view is referred to the block stays as it is; afterwards the child is
told, with its next task, that the block is free. A view that is sent to another child travels as a handle again. Views
never reach users: `own` copies what becomes a value. Where there is no room, buffers travel through the socket.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from papympi.transport.heap import copy
from papympi.transport.regions import Block, Region

_Buffer = bytes | bytearray | memoryview

LEAST: Final = 64 * 1024
"""Smaller buffers, in bytes, cost no more through the socket."""
_NONE: Final = -1
_PAGE: Final = 4096


class Terms(NamedTuple):
    """What a child has to know of an arena.

    Attributes:
        start: where the child's part begins.
        stop: where it ends.
        used: blocks of it that are lent: a child that has died had put something there.
    """

    start: int
    stop: int
    used: list[Block]


class _Memory:
    """The whole memory, mapped, and the part of it from which blocks are taken."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.map = mmap.mmap(descriptor, 0)
        self.view = memoryview(self.map)
        self.get_part(Terms(0, 0, []))

    def get_part(self, terms: Terms) -> None:
        """Take blocks from this part from now on."""
        self.region = Region(*terms)
        self._reserved = terms.start
        self._grows = True

    def take(self, size: int) -> int:
        """Return the offset of a block of so many bytes, -1 if there is no room."""
        offset = self.region.take(size)
        if offset is None:
            return _NONE
        if not self._reserve(offset + size):
            self.region.give(offset)
            return _NONE
        return offset

    def put(self, buffer: memoryview) -> int:
        """Copy a buffer into a block; return its offset, -1 if there is no room."""
        offset = self.take(buffer.nbytes)
        if offset >= 0:
            self.view[offset : offset + buffer.nbytes] = buffer
        return offset

    def _reserve(self, stop: int) -> bool:
        """See that there are pages up to `stop`: without them, writing would be a fatal signal when memory is short."""
        if stop <= self._reserved:
            return True
        stop = -(-stop // _PAGE) * _PAGE
        if self._grows:
            try:
                os.posix_fallocate(self._descriptor, self._reserved, stop - self._reserved)
            except OSError:
                self._grows = False
            else:
                self._reserved = stop
        return self._grows


class Arena:
    """The parent's end: its own blocks, and those that its children have filled.

    Args:
        descriptor: a memory file, which the arena closes.
        size: how many bytes it may grow to.
        children: how many children share it.

    Attributes:
        descriptor: what children map.
    """

    def __init__(self, descriptor: int, size: int, children: int) -> None:
        self.descriptor = descriptor
        self._size = size
        self._own, self._share = _divide(size, children)
        self._memory = _Memory(descriptor)
        self._memory.get_part(Terms(0, self._own, []))
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory.map))
        self._returned: list[int] = []

    def lend(self, offset: int, size: int, returned: list[int]) -> memoryview:
        """Return a view of a block; its offset is put on `returned` when nothing refers to the view any more."""
        block = (ctypes.c_char * size).from_buffer(self._memory.map, offset)
        # Runs wherever the last reference goes, in any thread: it must do no more than this.
        weakref.finalize(block, returned.append, offset).atexit = False
        return memoryview(block).cast("B")

    def keep(self, buffer: memoryview) -> memoryview | None:
        """Return a view of the block that holds a buffer, filling one if none does; `None`: there is no room."""
        if self.locate(buffer) >= 0:
            return buffer
        view = self.take(buffer.nbytes)
        if view is not None:
            view[:] = buffer
        return view

    def take(self, size: int) -> memoryview | None:
        """Return a view of a block of so many bytes, to be filled before it is sent; `None`: there is no room."""
        for offset in drain(self._returned):
            self._memory.region.give(offset)
        offset = self._memory.take(size)
        return None if offset < 0 else self.lend(offset, size, self._returned)

    def locate(self, buffer: memoryview) -> int:
        """Return the offset of the block that a view is of, all of it; -1: of none that is lent here."""
        block = _find_owner(buffer)
        if not isinstance(block, ctypes.Array) or len(block) != buffer.nbytes:
            return _NONE
        offset = ctypes.addressof(block) - self._base
        return offset if 0 <= offset < self._size else _NONE

    def terms(self, number: int, used: list[Block]) -> Terms:
        """Return what child `number` has to know."""
        start = self._own + number * self._share
        return Terms(start, start + self._share, used)

    def close(self) -> None:
        """Let go of the memory, now or when the last view is gone; nothing is put or lent any more."""
        os.close(self.descriptor)
        del self._memory


class Lender:
    """The parent's end as the connection to one child needs it.

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
        self._lent: dict[int, int] = {}
        self.held: list[memoryview] = []
        self.returned: list[int] = []

    @property
    def descriptor(self) -> int:
        """The memory file."""
        return self._arena.descriptor

    def put(self, buffer: memoryview) -> int:
        """Return the offset of a block that holds a buffer; -1: there is no room."""
        view = self._arena.keep(buffer)
        if view is None:
            return _NONE
        self.held.append(view)
        return self._arena.locate(view)

    def get(self, offset: int, size: int) -> memoryview:
        """Return a view of a block that the child has filled."""
        self._lent[offset] = size
        return self._arena.lend(offset, size, self.returned)

    def take_held(self) -> list[memoryview]:
        """Return what has been put since the last time."""
        held, self.held = self.held, []
        return held

    def take_returned(self) -> list[int]:
        """Return the offsets of the child's blocks that are free again."""
        offsets = drain(self.returned)
        for offset in offsets:
            del self._lent[offset]
        return offsets

    def terms(self) -> Terms:
        """Return what a fresh child has to know: all blocks are its own but those that are still lent."""
        self.take_returned()
        return self._arena.terms(self._number, list(self._lent.items()))


class Tenant:
    """A child's end.

    Args:
        descriptor: the memory file, which is kept open.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = _Memory(descriptor)

    def settle(self, terms: Terms) -> None:
        """Take note of what the parent says; before, nothing can be put."""
        self._memory.get_part(terms)

    def put(self, buffer: memoryview) -> int:
        """Copy a buffer into a block; return its offset, -1 if there is no room."""
        return self._memory.put(buffer)

    def get(self, offset: int, size: int) -> _Buffer:
        """Return a copy of what is in a block."""
        return copy(self._memory.view[offset : offset + size])

    def give(self, offsets: Iterable[int]) -> None:
        """Take note that blocks are free again."""
        for offset in offsets:
            self._memory.region.give(offset)


Blocks = Lender | Tenant
"""One end of a connection between processes that share blocks."""


def open_arena(size: int, children: int) -> Arena | None:
    """Return an arena of at most so many bytes; `None`: the system has no such thing, or the size is too small."""
    if not hasattr(os, "memfd_create") or _divide(size, children)[1] < LEAST:
        return None
    try:
        descriptor = os.memfd_create("papympi-arena", os.MFD_CLOEXEC)
    except OSError:
        return None
    try:
        os.ftruncate(descriptor, size)
        return Arena(descriptor, size, children)
    except (OSError, OverflowError):  # more than this process may map
        os.close(descriptor)
        return None


def own(buffer: _Buffer) -> _Buffer:
    """Return a buffer that nobody else has: a copy of a block, anything else as it is."""
    if not isinstance(_find_owner(buffer), ctypes.Array):
        return buffer
    return copy(memoryview(buffer))


def drain(offsets: list[int]) -> list[int]:
    """Empty a list that others may append to meanwhile, and return what was in it."""
    count = len(offsets)
    found = offsets[:count]
    del offsets[:count]
    return found


def _divide(size: int, children: int) -> tuple[int, int]:
    """Return how much of an arena is the parent's, and how much each child's: in whole pages."""
    share = size // 2 // children // _PAGE * _PAGE
    return (size - children * share) // _PAGE * _PAGE, share


def _find_owner(buffer: _Buffer) -> Any:
    """Return the object whose memory a buffer is."""
    found: Any = memoryview(buffer)
    while type(found) is memoryview:
        found = found.obj
    return found
