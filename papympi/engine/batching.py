"""What is ready to be worked on: runs of positions whose inputs are all there, cut into batches of a stride."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from papympi.engine.pieces import Piece, Shared, clip, to_slice
from papympi.engine.segment import Segment
from papympi.model.item import Failure
from papympi.transport.bitmap import FULL, clip_bitmap, count_valid, ones
from papympi.transport.payload import Payload
from papympi.transport.task import KeyRun, Slice

Columns = Sequence[Sequence[Piece | Shared]]
"""For each input of a step, what covers the positions of a run."""


class Run(NamedTuple):
    """Consecutive positions of one segment whose inputs are all there.

    With culprits it is one position, at which workers died: the failures take the places of the item or its children.
    With `attempts` it is one position that was tried so often before. `alone` it is no batch with others: a worker died
    somewhere in it.
    """

    segment: Segment
    start: int
    stop: int
    valid: int
    columns: Columns
    culprits: tuple[Failure, ...] = ()
    attempts: int = 0
    alone: bool = False


def clip_columns(columns: Columns, start: int, stop: int) -> Columns:
    """Return the parts of columns that lie in start..stop."""
    if len(columns) == 1 and len(columns[0]) == 1:
        return ((_clip(columns[0][0], start, stop),),)
    return [[_clip(part, start, stop) for part in column if part[1] > start and part[0] < stop] for column in columns]


def _clip(part: Piece | Shared, start: int, stop: int) -> Piece | Shared:
    low, high = max(part[0], start), min(part[1], stop)
    if isinstance(part, Shared):
        return part._replace(start=low, stop=high)
    return clip(part, low, high)


def cut(run: Run, start: int, stop: int) -> Run:
    """Return the part start..stop of a run of which nothing is missing."""
    if start == run.start and stop == run.stop:
        return run
    return Run(run.segment, start, stop, FULL, clip_columns(run.columns, start, stop), alone=run.alone)


def split(run: Run, at: int) -> tuple[Run, Run]:
    """Return a run as two, cut before position `at`."""
    segment, start, stop, valid, columns = run[:5]
    left, right = clip_bitmap(valid, 0, at - start), clip_bitmap(valid, at - start, stop - start)
    return (
        Run(segment, start, at, left, clip_columns(columns, start, at), alone=run.alone),
        Run(segment, at, stop, right, clip_columns(columns, at, stop), alone=run.alone),
    )


@dataclass(slots=True)
class Batch:
    """Runs that travel together.

    Attributes:
        runs: in order; of one step.
        count: how many positions, dropped ones included.
        items: how many are there.
    """

    runs: list[Run]
    count: int
    items: int

    def valid(self) -> int:
        """Return the bitmaps of the runs as one."""
        if len(self.runs) == 1:
            return self.runs[0].valid
        if all(run.valid == FULL for run in self.runs):
            return FULL
        valid = shift = 0
        for _, start, stop, part, *_ in self.runs:
            valid |= (part if part != FULL else ones(stop - start)) << shift
            shift += stop - start
        return valid

    def columns(self) -> list[list[Slice]]:
        """Return the columns of the runs end to end, as a task carries them."""
        if len(self.runs) == 1:
            return [[_to_slice(part) for part in column] for column in self.runs[0].columns]
        columns: list[list[Slice]] = [[] for _ in self.runs[0].columns]
        for run in self.runs:
            for slices, column in zip(columns, run.columns, strict=True):
                slices.extend(map(_to_slice, column))
        return columns

    def weigh(self) -> int:
        """Return about how many bytes it has to carry; what is gathered is not counted."""
        weight = 0
        for column in (column for run in self.runs for column in run.columns):
            for part in column:
                piece = part.piece if isinstance(part, Shared) else part
                if type(piece[2]) is Payload:
                    weight += piece[2].weigh() * (piece[1] - piece[0]) // piece[2].count
        return weight

    def keys(self) -> list[KeyRun]:
        """Return the keys of all positions, as runs."""
        if len(self.runs) == 1:
            segment, start, stop = self.runs[0][:3]
            return segment.key_runs(start, stop)
        return [run for segment, start, stop, *_ in self.runs for run in segment.key_runs(start, stop)]

    def pick(self, positions: list[int]) -> Iterator[Run]:
        """Yield a run of one position for each of some."""
        at, rest = 0, sorted(positions)
        for run in self.runs:
            size = run.stop - run.start
            while rest and rest[0] < at + size:
                start = run.start + rest.pop(0) - at
                one = split(split(run, start)[1], start + 1)[0]
                yield one._replace(alone=False, attempts=run.attempts)
            at += size

    def only(self) -> int:
        """Return which position has the one item that there is; -1: there are several."""
        if self.items != 1:
            return -1
        valid = self.valid()
        return 0 if valid == FULL else valid.bit_length() - 1

    def attempts(self) -> dict[int, int]:
        """Return how often positions were tried before, where they were."""
        found: dict[int, int] = {}
        at = 0
        for run in self.runs:
            if run.attempts:
                found[at] = run.attempts
            at += run.stop - run.start
        return found

    def culprits(self) -> dict[tuple[int, int], Failure]:
        """Return the failures that take the place of items, by (position, number)."""
        found: dict[tuple[int, int], Failure] = {}
        at = 0
        for run in self.runs:
            found.update(((at, number), failure) for number, failure in enumerate(run.culprits))
            at += run.stop - run.start
        return found


def _to_slice(part: Piece | Shared) -> Slice:
    return _shared_slice(part) if isinstance(part, Shared) else to_slice(part)


def _shared_slice(part: Shared) -> Slice:
    start, _, payload, offset, _ = part.piece
    at = offset + part.position - start
    payload, at = payload.cut(at, at + 1)
    return (payload, at, at + 1, part.stop - part.start)


class ReadyQueue:
    """The runs of one step that are ready, in order.

    Of the first one the beginning may be gone: its entry says where the rest begins.

    Attributes:
        items: how many items they have.
    """

    __slots__ = ("_heap", "_tie", "items")

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, ...], int, int, Run]] = []
        self._tie = count()
        self.items = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def put(self, run: Run) -> None:
        """Add a run that has at least one item."""
        heappush(self._heap, (run.segment.path, run.start, next(self._tie), run))
        self.items += count_valid(run.valid, run.stop - run.start)

    def head(self) -> tuple[Segment, int]:
        """Return the first position."""
        _, start, _, run = self._heap[0]
        return run.segment, start

    def take(self, stride: int) -> tuple[Batch, Run | None]:
        """Remove and return the next batch of up to `stride` items, and a rest that has no items, if one is left."""
        runs: list[Run] = []
        items = positions = 0
        empty = None
        while self._heap and items < stride and not (runs and (runs[0].alone or self._heap[0][3].alone)):
            if self._heap[0][3].valid == FULL:
                run = self._take_full(stride - items)
                present = run.stop - run.start
            else:
                run, empty = self._take_gappy(stride - items)
                present = run.valid.bit_count()
            self.items -= present
            runs.append(run)
            items += present
            positions += run.stop - run.start
        return Batch(runs, positions, items), empty

    def _take_full(self, most: int) -> Run:
        """Remove and return up to `most` positions of the first run, of which none is missing."""
        path, start, tie, run = self._heap[0]
        if run.stop - start <= most:
            heappop(self._heap)
            return cut(run, start, run.stop)
        self._heap[0] = (path, start + most, tie, run)  # no other run begins within this one, so it stays the first
        return cut(run, start, start + most)

    def _take_gappy(self, most: int) -> tuple[Run, Run | None]:
        """Remove and return up to `most` items of the first run, and a rest that has none, if one is left."""
        run = heappop(self._heap)[3]
        if run.valid.bit_count() <= most:
            return run, None
        run, rest = split(run, _cut_point(run, most))
        if not rest.valid:
            return run, rest
        heappush(self._heap, (rest.segment.path, rest.start, next(self._tie), rest))
        return run, None


def _cut_point(run: Run, wanted: int) -> int:
    """Return the position behind the item number `wanted` of a run."""
    at = 0
    while wanted:
        wanted -= run.valid >> at & 1
        at += 1
    return run.start + at
