"""The progress record: a few shared bytes in which a child says what it is at, so that a death names its culprit."""

from __future__ import annotations

import mmap
import os
import zlib
from array import array
from itertools import accumulate
from typing import Final, NamedTuple

from papympi.plan.program import MOST, Stage
from papympi.transport.task import Lost
from papympi.workers.evaluation.programs import StartedPrograms
from papympi.workers.host import create_file

# where in a record each integer is
TASK, NODE, INDEX, BEGUN, COUNT, RESOURCE, RUNS, FIRST, LISTENS, HEARD, FOLLOWED, HALTED, CHILD, TABLE = range(14)
NOTHING: Final = -1

_SIZE: Final = 8 * (TABLE + MOST)
_CLEAR: Final = b"\xff" * (8 * TABLE)
"""The head of a record that says nothing: -1 everywhere."""
_SHIFT: Final = 32
_FIXED: Final = 0x10  # MAP_FIXED, which Python does not name


class ProgressSnapshot(NamedTuple):
    """What a child was at when its record was read.

    Attributes:
        task: id of the task; `None`: no task was running.
        node: number of the call in the task's stage; `None`: it had not begun one.
        position: position in the task; `None`: it had not begun one.
        begun_ns: since when an item is at work whose node has a time-out, by `time.monotonic_ns`; `None`: none is.
        items: how many the function was given at once.
        child: number of the child of the item at `position`, if the call is made for children; else `None`.
        resource: mark of the resource that was being made, or of the setup, see `mark_resource`; `None`: none was.
        made: how many children the generator at work has made; says nothing while none is.
    """

    task: int | None
    node: int | None
    position: int | None
    begun_ns: int | None
    items: int
    resource: int | None = None
    child: int | None = None
    made: int = 0

    def tell_place(self, lost: Lost, stage: Stage) -> None:
        """Say in a report at which node and item of a stage the worker was, and at which child, as far as is known."""
        if self.node is not None:
            lost.node = stage.calls[self.node].node
        if self.items == 1:
            lost.position, lost.child = self.position, self.child
            if stage.kind == "scatter" and self.position is not None:
                lost.child = self.made


def mark_resource(name: str) -> int:
    """Return the number that stands for a resource in a progress record."""
    return zlib.crc32(name.encode())


def create_record_file() -> int:
    """Return a descriptor of shared memory that has no name, so that nothing needs to be removed whoever dies."""
    descriptor = create_file("papympi-progress")
    os.ftruncate(descriptor, _SIZE)
    os.pwrite(descriptor, _CLEAR, 0)
    return descriptor


class ProgressRecord:
    """What a worker says it is at, for whoever shares its memory.

    A `memoryview` cast to integers is the cheapest way to write: a loop may store into `slots[INDEX]` itself. `BEGUN`
    is set while an item runs whose node has a time-out, and taken back when its function returns.

    While a call is made for children that do not leave the task, `INDEX` counts those that are there. `RUNS` then says
    how many items have made them; from `TABLE` on is for each of these its position and the end of its children, in one
    integer, and `FIRST` is the number of the first child. `LISTENS` is 1 while the parent reads what functions write to
    standard output, `HEARD` once it has, `FOLLOWED` while the child looks for such text behind each call.
    `HALTED` is 1 when the parent wants no task to begin any more. `CHILD` is how many children a generator has made.

    Attributes:
        slots: the integers, at `TASK`, `NODE`, `INDEX`, `BEGUN`, `COUNT`, `RESOURCE`, `RUNS`, ...
        programs: what the functions of the worker have started; known where it works.
    """

    __slots__ = ("programs", "slots")

    def __init__(self, memory: bytearray | mmap.mmap | None = None) -> None:
        self.slots = memoryview(memory or bytearray(_CLEAR.ljust(_SIZE, b"\0"))).cast("q")
        self.programs = StartedPrograms()

    def begin(self, task: int) -> None:
        """Note that a task begins."""
        slots = self.slots
        slots[NODE] = slots[INDEX] = slots[BEGUN] = slots[RESOURCE] = NOTHING
        slots[COUNT] = 1
        slots[RUNS] = 0
        slots[TASK] = task

    def at(self, node: int, index: int, count: int = 1) -> None:
        """Note which call of the stage is next, for which position, and how many items it is given."""
        slots = self.slots
        slots[NODE] = node
        slots[INDEX] = index
        slots[COUNT] = count

    def at_child(self, node: int, index: int, child: int) -> None:
        """Note that a generator is next, which is to make the child of this number."""
        self.slots[CHILD] = child
        self.at(node, index)

    def enter(self, runs: list[tuple[int, int, int]]) -> None:
        """Note that calls are made for children now, of (position, number of the first, how many) each."""
        ends = accumulate(made for _, _, made in runs)
        table = array("q", [position << _SHIFT | end for (position, *_), end in zip(runs, ends, strict=True)])
        slots = self.slots
        slots[FIRST] = runs[0][1]
        slots[TABLE : TABLE + len(table)] = memoryview(table)
        slots[RUNS] = len(table)

    def leave(self) -> None:
        """Note that calls are made for the items of the task again."""
        self.slots[RUNS] = 0

    def done(self) -> None:
        """Note that nothing is running; which task was can still be seen."""
        self.slots[TASK] = NOTHING - 1 - self.slots[TASK]

    def read(self, *, finished: bool = False) -> ProgressSnapshot:
        """Return what the worker is at, or, if told to, what it was at last."""
        task, *rest, count, made = self.slots[: RESOURCE + 1]
        if finished and task < NOTHING:
            task = NOTHING - 1 - task
        node, index, begun, resource = (None if value == NOTHING else value for value in (*rest, made))
        if task <= NOTHING:
            return ProgressSnapshot(None, None, None, None, 1, resource)
        child = None
        if index is not None and self.slots[RUNS] > 0:
            index, child = self._find_child(index)
        return ProgressSnapshot(task, node, index, begun, count, resource, child, self.slots[CHILD])

    def _find_child(self, index: int) -> tuple[int, int | None]:
        """Return the position of the item that has made a child, and the child's number."""
        before, first = 0, self.slots[FIRST]
        for run in self.slots[TABLE : TABLE + self.slots[RUNS]]:
            position, end = run >> _SHIFT, run & ((1 << _SHIFT) - 1)
            if index < end:
                return position, first + index - before
            before, first = end, 0
        return index, None


class SharedProgressRecord(ProgressRecord):
    """One child's progress record, mapped by the child, which writes it, and by its parent, which reads it."""

    __slots__ = ("_map",)

    def __init__(self, descriptor: int) -> None:
        """Map the memory behind `descriptor`, which may be closed afterwards."""
        self._map = mmap.mmap(descriptor, _SIZE)
        super().__init__(self._map)

    def part(self) -> None:
        """Put memory of this process alone in the place of what it shares, with all who refer to it: it is a copy."""
        import ctypes

        libc, content = ctypes.CDLL(None), bytes(self._map)
        place = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(self._map)))
        how = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_longlong]
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap(place, len(content), mmap.PROT_READ | mmap.PROT_WRITE, how, -1, 0)
        self._map[:] = content

    def close(self) -> None:
        """Give the memory back."""
        self.slots.release()
        self._map.close()
