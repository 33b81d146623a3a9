"""The progress cell: a few shared bytes in which a child says what it is at, so that a death names its culprit."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

TASK: Final = 0
NODE: Final = 1
INDEX: Final = 2
START: Final = 3
NOTHING: Final = -1

_SIZE: Final = 64


class Progress(NamedTuple):
    """What a child was at when its cell was read.

    Attributes:
        task: id of the task; `None`: no task was running.
        node: number of the call in the task's stage; `None`: it had not begun one.
        position: position in the task; `None`: it had not begun one.
        start_ns: when the task began, by `time.monotonic_ns`.
    """

    task: int | None
    node: int | None
    position: int | None
    start_ns: int


def create_cell_file() -> int:
    """Return a descriptor of shared memory that has no name, so that nothing needs to be removed whoever dies."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("papympi-cell", os.MFD_CLOEXEC)
    else:  # macOS: a file whose name is gone at once
        descriptor, path = tempfile.mkstemp(prefix="papympi-cell-")
        Path(path).unlink()
    os.pwrite(descriptor, b"\xff" * _SIZE, 0)  # -1 everywhere: nothing
    return descriptor


class Cell:
    """One child's progress cell, mapped by the child, which writes it, and by its parent, which reads it.

    A `memoryview` cast to integers is the cheapest way to write: a loop may store into `slots[INDEX]` itself.

    Attributes:
        slots: the integers, at `TASK`, `NODE`, `INDEX` and `START`.
    """

    __slots__ = ("_map", "slots")

    def __init__(self, descriptor: int) -> None:
        """Map the memory behind `descriptor`, which may be closed afterwards."""
        self._map = mmap.mmap(descriptor, _SIZE)
        self.slots = memoryview(self._map).cast("q")

    def begin(self, task: int) -> None:
        """Note that a task begins."""
        slots = self.slots
        slots[1] = slots[2] = NOTHING
        slots[3] = time.monotonic_ns()
        slots[0] = task

    def at(self, node: int, index: int) -> None:
        """Note which call of the stage is next, and for which position."""
        slots = self.slots
        slots[1] = node
        slots[2] = index

    def done(self) -> None:
        """Note that nothing is running."""
        self.slots[0] = NOTHING

    def read(self) -> Progress:
        """Return what the child is at."""
        task, node, index, start = self.slots[:4]
        if task == NOTHING:
            return Progress(None, None, None, start)
        return Progress(task, None if node == NOTHING else node, None if index == NOTHING else index, start)

    def close(self) -> None:
        """Give the memory back."""
        self.slots.release()
        self._map.close()
