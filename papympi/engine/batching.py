"""What is ready to be worked on: spans of positions whose inputs are all there, cut into batches of a stride."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, count
from typing import NamedTuple

from papympi.engine.index.chunks import Chunk, SharedValue, clip, to_slice
from papympi.engine.index.segment import Segment
from papympi.model.item import Failure
from papympi.transport.bitmap import FULL, clip_bitmap, normalized, spell_out
from papympi.transport.payload import Payload
from papympi.transport.task import Kind, Slice, Task

Columns = Sequence[Sequence[Chunk | SharedValue]]
"""For each input of a step, what covers the positions of a span."""


class Span(NamedTuple):
    """Consecutive positions of one segment whose inputs are all there.

    With culprits it is one position, at which workers died: the failures take the places of the item or its children.
    With `attempts` it is one position that was tried so often before. `alone` it is no batch with others: a worker died
    somewhere in it. Of one position `doubts` says how often a worker that had it at hand has died at no item, and
    `withheld` that a failure has taken the place of its inputs.
    """

    segment: Segment
    start: int
    stop: int
    valid: int
    columns: Columns
    culprits: tuple[Failure, ...] = ()
    attempts: int = 0
    alone: bool = False
    doubts: int = 0
    withheld: bool = False


def clip_columns(columns: Columns, start: int, stop: int) -> Columns:
    """Return the parts of columns that lie in start..stop."""
    if len(columns) == 1 and len(columns[0]) == 1:
        return ((_clip(columns[0][0], start, stop),),)
    return [[_clip(part, start, stop) for part in column if part[1] > start and part[0] < stop] for column in columns]


def _clip(part: Chunk | SharedValue, start: int, stop: int) -> Chunk | SharedValue:
    low, high = max(part[0], start), min(part[1], stop)
    if isinstance(part, SharedValue):
        return part._replace(start=low, stop=high)
    return clip(part, low, high)


def cut(span: Span, start: int, stop: int) -> Span:
    """Return the part start..stop of a span of which nothing is missing."""
    return Span(span.segment, start, stop, FULL, clip_columns(span.columns, start, stop), alone=span.alone)


def split(span: Span, at: int) -> tuple[Span, Span]:
    """Return a span as two, cut before position `at`."""
    segment, start, stop, valid, columns = span[:5]
    left, right = clip_bitmap(valid, 0, at - start), clip_bitmap(valid, at - start, stop - start)
    return (
        Span(segment, start, at, left, clip_columns(columns, start, at), alone=span.alone),
        Span(segment, at, stop, right, clip_columns(columns, at, stop), alone=span.alone),
    )


def withhold(span: Span, at: int, failure: Failure) -> Span:
    """Return a span in which a failure takes the place of all inputs at a position: whoever opens these dies."""
    return span._replace(columns=[replace_at(column, at, failure) for column in span.columns], withheld=True)


def replace_at(column: Sequence[Chunk | SharedValue], at: int, failure: Failure) -> list[Chunk | SharedValue]:
    """Return a column with a failure at a position."""
    parts: list[Chunk | SharedValue] = []
    for part in column:
        if part[0] <= at < part[1]:
            parts += [_clip(part, part[0], at)] if part[0] < at else []
            parts.append((at, at + 1, Payload([failure]), 0, FULL))
            parts += [_clip(part, at + 1, part[1])] if at + 1 < part[1] else []
        else:
            parts.append(part)
    return parts


@dataclass(slots=True)
class Batch:
    """Spans that travel together.

    Attributes:
        spans: in order; of one step.
        count: how many positions, dropped ones included.
        items: how many are there.
    """

    spans: list[Span]
    count: int
    items: int

    def valid(self) -> int:
        """Return the validity bitmaps of the spans as one."""
        valid = shift = 0
        for span in self.spans:
            if span.valid != FULL:
                break
        else:
            return FULL
        for _, start, stop, part, *_ in self.spans:
            valid |= spell_out(part, stop - start) << shift
            shift += stop - start
        return normalized(valid, shift)

    def to_task(self, number: int, kind: Kind, stage: int, max_payload: int) -> Task:
        """Return the task that works on it."""
        first = self.spans[0]
        columns: list[list[Slice]] = [list(map(to_slice, column)) for column in first.columns]
        keys = first.segment.key_runs(first.start, first.stop)
        for span in self.spans[1:]:
            for slices, column in zip(columns, span.columns, strict=True):
                slices.extend(map(to_slice, column))
            keys += span.segment.key_runs(span.start, span.stop)
        valid = first.valid if len(self.spans) == 1 else self.valid()
        task = Task(number, kind, stage, self.count, valid, columns, keys, max_payload)
        at = 0
        for span in self.spans:
            if span.attempts:
                task.attempts[at] = span.attempts
            for nth, failure in enumerate(span.culprits):
                task.culprits[at, nth] = failure
            at += span.stop - span.start
        task.chunk = 1 if first.alone else 0
        task.careful = first.alone
        return task

    def weigh(self) -> int:
        """Return about how many bytes it has to carry; what is gathered is not counted."""
        weight = 0
        for span in self.spans:
            for part in chain.from_iterable(span.columns):
                chunk = part.chunk if isinstance(part, SharedValue) else part
                if type(chunk[2]) is Payload:
                    weight += chunk[2].weigh() * (chunk[1] - chunk[0]) // chunk[2].count
        return weight

    def pick(self, positions: list[int]) -> Iterator[Span]:
        """Yield a span of one position for each of some."""
        at, rest = 0, sorted(positions)
        for span in self.spans:
            size = span.stop - span.start
            while rest and rest[0] < at + size:
                start = span.start + rest.pop(0) - at
                one = split(split(span, start)[1], start + 1)[0]
                yield one._replace(alone=False, attempts=span.attempts)
            at += size

    def only(self) -> int:
        """Return which position has the one item that there is; -1: there are several."""
        if self.items != 1:
            return -1
        valid = self.valid()
        return 0 if valid == FULL else valid.bit_length() - 1

    def spread(self) -> list[tuple[Segment, int, int]]:
        """Return its positions as (segment, start, stop), neighbours merged."""
        if len(self.spans) == 1:
            return [self.spans[0][:3]]
        merged: list[tuple[Segment, int, int]] = []
        for segment, start, stop, *_ in self.spans:
            if merged and merged[-1][0] is segment and merged[-1][2] == start:
                merged[-1] = (segment, merged[-1][1], stop)
            else:
                merged.append((segment, start, stop))
        return merged


class ReadyQueue:
    """The spans of one step that are ready, in order.

    Of the first one the beginning may be gone: its entry says where the rest begins.

    Attributes:
        items: how many items they have.
    """

    __slots__ = ("_heap", "_tie", "items")

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, ...], int, int, Span]] = []
        self._tie = count()
        self.items = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def put(self, span: Span) -> None:
        """Add a span that has at least one item."""
        heappush(self._heap, (span.segment.path, span.start, next(self._tie), span))
        self.items += span.stop - span.start if span.valid == FULL else span.valid.bit_count()

    def head(self) -> tuple[Segment, int]:
        """Return the first position."""
        _, start, _, span = self._heap[0]
        return span.segment, start

    def take(self, stride: int) -> Batch:
        """Remove and return the next batch of up to `stride` items."""
        spans: list[Span] = []
        items = positions = 0
        while self._heap and items < stride and not (spans and (spans[0].alone or self._heap[0][3].alone)):
            if self._heap[0][3].valid == FULL:
                span = self._take_full(stride - items)
                present = span.stop - span.start
            else:
                span = self._take_gappy(stride - items)
                present = span.valid.bit_count()
            self.items -= present
            spans.append(span)
            items += present
            positions += span.stop - span.start
        return Batch(spans, positions, items)

    def _take_full(self, most: int) -> Span:
        """Remove and return up to `most` positions of the first span, of which none is missing."""
        path, start, tie, span = self._heap[0]
        if span.stop - start <= most:
            heappop(self._heap)
            return span if start == span.start else cut(span, start, span.stop)
        self._heap[0] = (path, start + most, tie, span)  # no other span begins within this one, so it stays the first
        return cut(span, start, start + most)

    def _take_gappy(self, most: int) -> Span:
        """Remove and return up to `most` items of the first span."""
        span = heappop(self._heap)[3]
        if span.valid.bit_count() > most:
            span, rest = split(span, _cut_point(span, most))
            heappush(self._heap, (rest.segment.path, rest.start, next(self._tie), rest))
        return span


def _cut_point(span: Span, wanted: int) -> int:
    """Return the position behind the item number `wanted` of a span."""
    at = 0
    while wanted:
        wanted -= span.valid >> at & 1
        at += 1
    return span.start + at
