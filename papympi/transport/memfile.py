"""Shared memory, mapped: blocks of it are taken, lent as views, and found again by a view."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import weakref
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from papympi.transport.regions import Block, Region, round_up

Bytes = bytes | bytearray | memoryview

NONE: Final = -1
"""In the place of an offset: there is no block."""
_FAILED: Final = ctypes.c_void_p(-1).value
_MAYMOVE: Final = 1
_FIXED: Final = 2


class ArenaPart(NamedTuple):
    """A child's part of an arena.

    Attributes:
        start: where it begins.
        stop: where it ends.
        used: blocks of it that are lent: a child that has died had put something there.
    """

    start: int
    stop: int
    used: list[Block]


class Memory:
    """The whole memory, mapped, and the part of it from which blocks are taken.

    Args:
        descriptor: of the memory file, which is kept open.

    Attributes:
        map: all of it.
        view: the same.
        region: what is free of the part.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.map = mmap.mmap(descriptor, 0)
        self.view = memoryview(self.map)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.use_part(ArenaPart(0, 0, []))

    def use_part(self, part: ArenaPart) -> None:
        """Take blocks from this part from now on."""
        self.region = Region(*part)
        self._reserved = part.start
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

    def give(self, offsets: Iterable[int]) -> None:
        """Take note that blocks are free again."""
        for offset in offsets:
            self.region.give(offset)

    def put(self, buffer: memoryview) -> int:
        """Copy a buffer into a block; return its offset, -1 if there is no room."""
        offset = self.take(buffer.nbytes)
        if offset >= 0:
            self.view[offset : offset + buffer.nbytes] = buffer
        return offset

    def lend(self, offset: int, size: int, returned: list[int] | None, allocator: object = None) -> memoryview:
        """Return a view of a block of so many bytes, whose array has `allocator` as an attribute.

        Its offset is put on `returned`, if there is such a list, when nothing refers to the view any more.
        """
        block: Any = (ctypes.c_char * size).from_buffer(self.map, offset)
        block.allocator = allocator
        if returned is not None:
            # Runs wherever the last reference goes, in any thread: it must do no more than this.
            weakref.finalize(block, returned.append, offset).atexit = False
        return memoryview(block).cast("B")

    def locate(self, buffer: memoryview) -> int:
        """Return the offset of the block that a view is of, all of it; -1: of none that is lent here."""
        block = find_owner(buffer)
        if not isinstance(block, ctypes.Array) or len(block) != buffer.nbytes:
            return NONE
        offset = ctypes.addressof(block) - self._base
        return offset if 0 <= offset < len(self.map) else NONE

    def _reserve(self, stop: int) -> bool:
        """See that there are pages up to `stop`: without them, writing would be a fatal signal when memory is short."""
        if stop <= self._reserved:
            return True
        stop = round_up(stop)
        if self._grows:
            try:
                os.posix_fallocate(self._descriptor, self._reserved, stop - self._reserved)
            except OSError:
                self._grows = False
            else:
                self._reserved = stop
        return self._grows


def drain(offsets: list[int]) -> list[int]:
    """Empty a list that others may append to meanwhile, and return what was in it."""
    count = len(offsets)
    found = offsets[:count]
    del offsets[:count]
    return found


def find_owner(buffer: Bytes) -> Any:
    """Return the object whose memory a buffer is: an array of `ctypes` if it is a block that is lent."""
    found: Any = memoryview(buffer)
    while type(found) is memoryview:
        found = found.obj
    return found


def make_private(block: Any) -> bool:
    """Put ordinary memory with the same contents in the place of a block; return whether that could be done.

    Whoever refers to the block goes on as if nothing had been, and what others do with the block is not seen any more.
    What another thread of this process writes into it at that very moment may be lost.

    Args:
        block: an array of `ctypes` that begins a page, and that nothing else shares its last page with.
    """
    size, place = round_up(len(block)), ctypes.addressof(block)
    library = _get_library()
    pages = library.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if pages == _FAILED:
        return False
    ctypes.memmove(pages, place, size)
    moved: int = library.mremap(pages, size, size, _MAYMOVE | _FIXED, ctypes.c_void_p(place))
    return moved == place


@functools.cache
def _get_library() -> ctypes.CDLL:
    """Return the C library, told of the functions that are needed here."""
    library = ctypes.CDLL(None)
    library.mmap.restype = library.mremap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    library.mremap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)
    return library
