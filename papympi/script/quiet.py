"""Keeps what is printed while a worker loads the script from being shown again: the runner has shown it.

It stands alone because it changes the descriptors of the process.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

_LAST_WORDS: Final = 2000


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Keep what Python and C code print while the block lasts; yield what returns the end of it."""
    with _open_file() as file:
        before = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(file.fileno(), number)

        def read_end() -> str:
            _flush()
            start = max(os.fstat(file.fileno()).st_size - _LAST_WORDS, 0)
            return os.pread(file.fileno(), _LAST_WORDS, start).decode(errors="replace").strip()

        try:
            yield read_end
        finally:
            _flush()
            for number, descriptor in enumerate(before, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _open_file() -> BinaryIO:
    """Return a file that is nobody else's."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("papympi-quiet"), "r+b")
    from tempfile import TemporaryFile  # macOS

    return TemporaryFile(prefix="papympi-")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
