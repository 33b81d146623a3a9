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
import mmap
import os
from typing import Final

from papympi.transport.heap import copy
from papympi.transport.memfile import ArenaPart, Bytes, Memory, drain
from papympi.transport.regions import PAGE, Block, Region

LEAST: Final = 64 * 1024
"""Smaller buffers, in bytes, cost no more through the socket."""


class Arena:
    """The parent's end: its own blocks, and those that its children have filled.

    Args:
        descriptor: a memory file, which the arena closes.
        size: how many bytes it may grow to.
        children: how many children share it.

    Attributes:
        descriptor: what children map.
        share: how many bytes each child has for blocks.
        memory: all of it, and the parent's part.
        loans: for each child the offsets and sizes of its blocks that are lent, or were when that was last looked at.
    """

    def __init__(self, descriptor: int, size: int, children: int) -> None:
        self.descriptor = descriptor
        self._size = size
        self._own, self.share = _divide(size, children)
        self.loans: list[dict[int, int]] = [{} for _ in range(children)]
        self.memory = Memory(descriptor)
        self.memory.use_part(ArenaPart(0, self._own, []))
        self._returned: list[int] = []

    def keep(self, buffer: memoryview) -> memoryview | None:
        """Return a view of the block that holds a buffer, filling one if none does; `None`: there is no room."""
        if self.memory.locate(buffer) >= 0:
            return buffer
        view = self.take(buffer.nbytes)
        if view is not None:
            view[:] = buffer
        return view

    def take(self, size: int) -> memoryview | None:
        """Return a view of a block of so many bytes, to be filled before it is sent; `None`: there is no room."""
        self.memory.give(drain(self._returned))
        offset = self.memory.take(size)
        return None if offset < 0 else self.memory.lend(offset, size, self._returned)

    def part_of(self, number: int, used: list[Block]) -> ArenaPart:
        """Return the part of child `number`."""
        start = self._own + number * self.share
        return ArenaPart(start, start + self.share, used)

    def close(self) -> None:
        """Let go of the memory, now or, as far as it is lent, when the last view is gone; nothing is lent any more."""
        lent = [block for loans in self.loans for block in loans.items()]
        for start, stop in Region(self._own, self._size // PAGE * PAGE, lent).gaps if lent else ():
            with contextlib.suppress(OSError, AttributeError):  # another system
                self.memory.map.madvise(mmap.MADV_REMOVE, start, stop - start)
        os.close(self.descriptor)
        del self.memory


class ChildAllocator(Memory):
    """A child's end; nothing can be put before it has a part."""

    def get(self, offset: int, size: int) -> Bytes:
        """Return a copy of what is in a block."""
        return copy(self.view[offset : offset + size])


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


def _divide(size: int, children: int) -> tuple[int, int]:
    """Return how much of an arena is the parent's, and how much each child's: in whole pages."""
    share = size // 2 // children // PAGE * PAGE
    return (size - children * share) // PAGE * PAGE, share
