"""Big buffers between the processes of one host: in blocks of shared memory that are used over and over.

One memory file without a name holds everything, so there is nothing to remove whoever dies. A part of it belongs to the
process that hands out tasks, and a part to each of its children: each takes blocks from its own part without asking.

    parent: put a value into a block of its own ──handle──▶ child: copy it out into ordinary memory
    parent: lend a block of the child's ◀──handle── child: put a result into a block of its own

What is lent is a view. As long as anything of the view is referred to the block stays as it is; afterwards the child is
told, with its next task, that the block is free. A view that is sent to another child travels as a handle again.
Functions never get views (see `lending` for who does). Where there is no room, buffers travel through the socket.
"""

from __future__ import annotations

import contextlib
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
NONE: Final = -1
"""In the place of an offset: there is no block."""
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
            return NONE
        if not self._reserve(offset + size):
            self.region.give(offset)
            return NONE
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
        share: how many bytes each child has for blocks.
        loans: for each child the offsets and sizes of its blocks that are lent, or were when that was last looked at.
    """

    def __init__(self, descriptor: int, size: int, children: int) -> None:
        self.descriptor = descriptor
        self._size = size
        self._own, self.share = _divide(size, children)
        self.loans: list[dict[int, int]] = [{} for _ in range(children)]
        self._memory = _Memory(descriptor)
        self._memory.get_part(Terms(0, self._own, []))
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory.map))
        self._returned: list[int] = []

    def lend(self, offset: int, size: int, returned: list[int], lender: object = None) -> memoryview:
        """Return a view of a block; its offset is put on `returned` when nothing refers to the view any more.

        Args:
            offset: of the block.
            size: of the block, in bytes.
            returned: where to put the offset.
            lender: becomes an attribute of what the view is of.
        """
        block: Any = (ctypes.c_char * size).from_buffer(self._memory.map, offset)
        block.lender = lender
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
        block = find_owner(buffer)
        if not isinstance(block, ctypes.Array) or len(block) != buffer.nbytes:
            return NONE
        offset = ctypes.addressof(block) - self._base
        return offset if 0 <= offset < self._size else NONE

    def terms(self, number: int, used: list[Block]) -> Terms:
        """Return what child `number` has to know."""
        start = self._own + number * self.share
        return Terms(start, start + self.share, used)

    def close(self) -> None:
        """Let go of the memory, now or, as far as it is lent, when the last view is gone; nothing is lent any more."""
        lent = [block for loans in self.loans for block in loans.items()]
        for start, stop in Region(self._own, self._size // _PAGE * _PAGE, lent).gaps if lent else ():
            with contextlib.suppress(OSError, AttributeError):  # another system
                self._memory.map.madvise(mmap.MADV_REMOVE, start, stop - start)
        os.close(self.descriptor)
        del self._memory


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


def find_owner(buffer: _Buffer) -> Any:
    """Return the object whose memory a buffer is: an array of `ctypes` if it is a block that is lent."""
    found: Any = memoryview(buffer)
    while type(found) is memoryview:
        found = found.obj
    return found
