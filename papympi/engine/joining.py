"""How the inputs of one step meet: what has come of each is kept by position until all the others are there, too."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain

from papympi.engine.batching import Span
from papympi.engine.index.chunks import Chunk, Interval, IntervalMap, SharedValue, join_bitmaps
from papympi.engine.index.segment import Segment
from papympi.plan.plan import Space, Step, Stream
from papympi.transport.bitmap import FULL, is_valid, normalized, ones


class Join:
    """The inputs of a step that has several. Those from above are shared by all that descend from an item."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._is_shared = [stream.space is not step.space for stream in step.inputs]
        self._missing = 0

    def take(self, number: int, segment: Segment, chunk: Chunk) -> Iterator[Span]:
        """Keep a chunk of one input; yield the spans that are complete with it."""
        waiting = segment.joins.get(self._step)
        if waiting is None:
            waiting = [None if is_shared else IntervalMap() for is_shared in self._is_shared]
            segment.joins[self._step] = waiting
        mine = waiting[number]
        if mine is not None:
            mine.add(chunk)
        return self._match(segment, chunk[0], chunk[1])

    def take_above(self, segment: Segment, interval: Interval, way: Sequence[Space]) -> Iterator[Span]:
        """Something has come for an interval of a segment above: yield the spans below that are complete with it.

        Args:
            segment: where it has come.
            interval: for which positions.
            way: the spaces on the way down to the step's own.
        """
        if not way:
            yield from self._match(segment, *interval)
            return
        low, high = interval
        kids = segment.kids.get(way[0], ())
        at = max(bisect_right(kids, low, key=lambda kid: kid.low) - 1, 0)
        for kid in kids[at : bisect_left(kids, high, key=lambda kid: kid.low)]:
            first, last = max(low, kid.low) - kid.low, min(high, kid.high) - kid.low
            if first < last and first <= len(kid.ends):
                start = kid.first_child(first)
                stop = kid.ends[last - 1] if last <= len(kid.ends) else kid.emitted
                if start < stop:
                    yield from self.take_above(kid, (start, stop), way[1:])

    def _match(self, segment: Segment, start: int, stop: int) -> Iterator[Span]:
        """Take out and yield the positions of start..stop at which every input is there."""
        waiting = segment.joins.get(self._step)
        if waiting is None:
            return
        found = [(start, stop)]
        first = self._missing  # the one that was not there the last time: of thousands it will not be there again
        for number in chain(range(first, len(waiting)), range(first)):
            chunks = waiting[number]
            if chunks is not None:
                found = [part for a, b in found for part in chunks.covered(a, b)]
                if not found:
                    self._missing = number
                    return
        for chunks, stream in zip(waiting, self._step.inputs, strict=True):
            if chunks is None and found:
                found = _covered_above(stream, segment, found)
        for a, b in found:
            yield self._take_out(segment, waiting, a, b)

    def _take_out(self, segment: Segment, waiting: list[IntervalMap | None], start: int, stop: int) -> Span:
        """Return the span start..stop with what every input has for it; an item that one has dropped is dropped."""
        columns: list[Sequence[Chunk | SharedValue]] = []
        valid = FULL
        for waits, stream in zip(waiting, self._step.inputs, strict=True):
            if waits is not None:
                chunks = waits.take(start, stop)
                part = join_bitmaps(chunks, start)
                columns.append(chunks)
            else:
                shared = find_shared(stream, segment, start, stop)
                part = _join_shared_bitmaps(shared, start)
                columns.append(shared)
            if part != FULL:
                valid = part if valid == FULL else valid & part
        return Span(segment, start, stop, normalized(valid, stop - start), columns)


def _join_shared_bitmaps(shared: list[SharedValue], start: int) -> int:
    if all(part.chunk[4] == FULL for part in shared):
        return FULL
    valid = 0
    for a, b, chunk, position in shared:
        if is_valid(chunk[4], position - chunk[0]):
            valid |= ones(b - a) << (a - start)
    return valid


def _covered_above(stream: Stream, segment: Segment, intervals: list[Interval]) -> list[Interval]:
    """Return the parts of intervals whose ancestors have arrived in a stream from above."""
    found = []
    for a, b in intervals:
        low, high = segment.parent_of(a), segment.parent_of(b - 1) + 1
        if segment.parent is None:
            continue
        if stream.space is segment.table.space.parent:
            kept = segment.parent.store.get(stream)
            covered = kept.covered(low, high) if kept is not None else []
        else:
            covered = _covered_above(stream, segment.parent, [(low, high)])
        for first, last in covered:
            index = last - segment.low
            start = max(a, segment.first_child(first - segment.low))
            stop = min(b, segment.ends[index - 1]) if index <= len(segment.ends) else b
            if start < stop:
                found.append((start, stop))
    return found


def find_shared(stream: Stream, segment: Segment, start: int, stop: int) -> list[SharedValue]:
    """Return what start..stop have from their ancestors in a stream from above, which must have arrived."""
    found: list[SharedValue] = []
    while start < stop and segment.parent is not None:
        parent = segment.parent_of(start)
        index = parent - segment.low
        end = min(stop, segment.ends[index]) if index < len(segment.ends) else stop
        if stream.space is segment.table.space.parent:
            chunk = segment.parent.store[stream].look(parent)
            if chunk is None:
                raise AssertionError(f"{stream!r} has nothing at {parent}")
            found.append(SharedValue(start, end, chunk, parent))
        else:
            above = find_shared(stream, segment.parent, parent, parent + 1)[0]
            found.append(above._replace(start=start, stop=end))
        start = end
    return found
