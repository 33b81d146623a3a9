"""Keeps freed memory for the next large value: fresh pages cost several times what a copy costs."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3


@functools.cache
def keep_heap() -> None:
    """Let the allocator keep freed memory, up to 256 MiB: it would give arrays back to the system each time."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_TRIM_THRESHOLD, 1 << 28)
        allocator.mallopt(_MMAP_THRESHOLD, 1 << 25)
