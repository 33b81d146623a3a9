"""Memory for large values. Fresh pages cost several times what a copy costs: they are kept, or they are huge ones."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
KEPT: Final = 1 << 25
"""Smaller pieces of memory, in bytes, are what the allocator keeps; it cannot be told to keep larger ones."""


def copy(view: memoryview) -> bytearray | memoryview:
    """Return a copy of some bytes that can be written to."""
    if view.nbytes < KEPT:
        keep_heap()
        return bytearray(view)
    copied = map_pages(view.nbytes)
    copied[:] = view
    return copied


def allocate(size: int) -> bytearray | memoryview:
    """Return so many zeros that can be written to."""
    return bytearray(size) if size < KEPT else map_pages(size)


def map_pages(size: int) -> memoryview:
    """Return so many zeros in huge pages, if the system has any; they go back to it when nothing refers to them."""
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no memory for a value of {size} bytes") from error
    with contextlib.suppress(OSError, AttributeError):  # another system
        pages.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(pages)


@functools.cache
def keep_heap() -> None:
    """Let the allocator keep freed memory, up to 256 MiB: it would give arrays back to the system each time."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_TRIM_THRESHOLD, 1 << 28)
        allocator.mallopt(_MMAP_THRESHOLD, KEPT)
