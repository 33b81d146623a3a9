"""Chunks: consecutive positions with their values; and the maps and sets of intervals in which they are kept.

A chunk is a tuple `(start, stop, payload, offset, valid)`: positions start..stop of one segment have the values from
`offset` on in the payload, and bit i of `valid` says whether position start + i is there or was dropped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from papympi.transport.bitmap import FULL, clip_bitmap, normalized, spell_out
from papympi.transport.payload import Payload
from papympi.transport.task import Output, Slice

Chunk = tuple[int, int, Any, int, int]
Interval = tuple[int, int]


class SharedValue(NamedTuple):
    """One value of an ancestor, that at `position` in its chunk, shared by the positions start..stop."""

    start: int
    stop: int
    chunk: Chunk
    position: int


def clip(chunk: Chunk, start: int, stop: int) -> Chunk:
    """Return the part of a chunk that lies in start..stop, which it must cover."""
    a, b, payload, offset, valid = chunk
    if start == a and stop == b:
        return chunk
    return (start, stop, payload, offset + start - a, clip_bitmap(valid, start - a, stop - a))


def cut_around(chunk: Chunk, failed: int, holes: Sequence[int]) -> Iterator[tuple[Chunk, int]]:
    """Yield the parts of a chunk, and of its bitmap of failures, that lie between some positions."""
    start, stop = chunk[:2]
    at = start
    for hole in [*(hole for hole in holes if start <= hole < stop), stop]:
        if at < hole:
            yield clip(chunk, at, hole), clip_bitmap(failed, at - start, hole - start)
        at = hole + 1


def join_bitmaps(chunks: Sequence[Chunk], start: int) -> int:
    """Return the validity bitmaps of chunks that lie end to end from `start`, as one."""
    for chunk in chunks:
        if chunk[4] != FULL:
            break
    else:
        return FULL
    valid = 0
    for a, b, _, _, part in chunks:
        valid |= spell_out(part, b - a) << (a - start)
    return valid


class GatheredLists:
    """The payload of a gather: one list a position, made of the chunks of its members, opened on a worker only.

    Attributes:
        chunks: disjoint, in order, without holes between `base` and the last of `ends`.
        ends: for each list the member position behind its last.
        base: the member position at which the first list begins.
    """

    __slots__ = ("base", "chunks", "ends", "starts")

    def __init__(self, chunks: list[Chunk], ends: list[int], base: int) -> None:
        self.chunks = chunks
        self.ends = ends
        self.base = base
        self.starts = [chunk[0] for chunk in chunks]

    def slice(self, start: int, stop: int) -> Slice:
        """Return the lists start..stop as a task carries them."""
        low = self.ends[start - 1] if start else self.base
        high = self.ends[stop - 1]
        members = []
        for chunk in self.chunks[max(bisect_right(self.starts, low) - 1, 0) :]:
            if chunk[0] >= high:
                break
            a, b = max(chunk[0], low), min(chunk[1], high)
            if a < b:
                part = clip(chunk, a, b)
                members.append((*to_slice(part), part[4]))
        return ([end - low for end in self.ends[start:stop]], members)


def to_slice(part: Chunk | SharedValue) -> Slice:
    """Return a chunk, or a value that positions share, as a task carries it."""
    if isinstance(part, SharedValue):
        return (*to_slice(clip(part.chunk, part.position, part.position + 1)), part.stop - part.start)
    start, stop, payload, offset, _ = part
    if type(payload) is GatheredLists:
        return payload.slice(offset, offset + stop - start)
    if payload is None:
        return (Payload([None] * (stop - start)), 0, stop - start)
    if offset or stop - start != payload.count:
        payload, offset = payload.cut(offset, offset + stop - start)
    return (payload, offset, offset + stop - start)


def distribute(output: Output, spans: Sequence[tuple[Any, int, int]]) -> Iterator[tuple[Any, Chunk, int]]:
    """Lay an output's payloads over the positions they are for; yield (segment, chunk, bitmap of failures) for each.

    Args:
        output: what a task made.
        spans: the positions, as (segment, start, stop).
    """
    payloads = iter(output.payloads)
    payload: Payload | None = None
    at = used = 0
    for segment, begin, stop in spans:
        start = begin
        while start < stop:
            if payload is None or used == payload.count:
                payload, used = next(payloads), 0
            size = min(stop - start, payload.count - used)
            valid = normalized(clip_bitmap(output.valid, at, at + size), size)
            failed = clip_bitmap(output.failed, at, at + size) if output.failed else 0
            yield segment, (start, start + size, payload if valid else None, used if valid else 0, valid), failed
            start, at, used = start + size, at + size, used + size


class IntervalMap:
    """Chunks by the interval that each covers: of one stream in one segment, sorted and disjoint."""

    __slots__ = ("chunks", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Put a chunk in its place."""
        if not self.starts or chunk[0] > self.starts[-1]:
            self.starts.append(chunk[0])
            self.chunks.append(chunk)
        else:
            at = bisect_left(self.starts, chunk[0])
            self.starts.insert(at, chunk[0])
            self.chunks.insert(at, chunk)

    def _first(self, start: int) -> int:
        """Return the index of the first chunk that reaches beyond `start`."""
        at = bisect_right(self.starts, start) - 1
        return at + 1 if at < 0 or self.chunks[at][1] <= start else at

    def covered(self, start: int, stop: int) -> list[Interval]:
        """Return which parts of start..stop the chunks cover, merged."""
        found: list[Interval] = []
        if start >= stop:
            return found
        for at in range(self._first(start), len(self.starts)):
            chunk = self.chunks[at]
            if chunk[0] >= stop:
                break
            a, b = max(chunk[0], start), min(chunk[1], stop)
            if found and found[-1][1] == a:
                found[-1] = (found[-1][0], b)
            else:
                found.append((a, b))
        return found

    def look(self, position: int) -> Chunk | None:
        """Return the chunk that covers a position, if there is one."""
        at = bisect_right(self.starts, position) - 1
        return self.chunks[at] if at >= 0 and self.chunks[at][1] > position else None

    def peek(self, start: int, stop: int) -> list[Chunk]:
        """Return the parts of the chunks within start..stop and leave them."""
        found = []
        for at in range(self._first(start), len(self.starts)):
            chunk = self.chunks[at]
            if chunk[0] >= stop:
                break
            found.append(clip(chunk, max(chunk[0], start), min(chunk[1], stop)))
        return found

    def take(self, start: int, stop: int) -> list[Chunk]:
        """Remove and return the parts of the chunks within start..stop."""
        low = high = self._first(start)
        taken: list[Chunk] = []
        rest: list[Chunk] = []
        while high < len(self.starts) and self.starts[high] < stop:
            chunk = self.chunks[high]
            if chunk[0] < start:
                rest.append(clip(chunk, chunk[0], start))
            taken.append(clip(chunk, max(chunk[0], start), min(chunk[1], stop)))
            if chunk[1] > stop:
                rest.append(clip(chunk, stop, chunk[1]))
            high += 1
        self.starts[low:high] = [chunk[0] for chunk in rest]
        self.chunks[low:high] = rest
        return taken

    def take_next(self, start: int, stop: int) -> list[Chunk]:
        """Remove and return what covers start..stop, as far as it goes without a hole from `start` on."""
        starts, chunks = self.starts, self.chunks
        if not starts or starts[0] > start:
            return []
        if starts[0] == start and chunks[0][1] <= stop and (len(starts) == 1 or starts[1] != chunks[0][1]):
            del starts[0]
            return [chunks.pop(0)]
        found = self.look(start)
        return self.take(start, min(stop, self.reach(found[0]))) if found is not None else []

    def reach(self, start: int) -> int:
        """Return how far the chunks cover without a hole from `start` on."""
        at = bisect_left(self.starts, start)
        while at < len(self.starts) and self.starts[at] == start:
            start = self.chunks[at][1]
            at += 1
        return start


class IntervalSet:
    """A set of positions as merged, disjoint intervals."""

    __slots__ = ("starts", "stops")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Add start..stop, none of which is in the set."""
        starts, stops = self.starts, self.stops
        if starts and stops[-1] == start:
            stops[-1] = stop
            return
        at = bisect_right(starts, start) - 1
        if (at >= 0 and stops[at] > start) or (at + 1 < len(starts) and starts[at + 1] < stop):
            raise AssertionError(f"positions {start}..{stop} were added twice")
        left = at >= 0 and stops[at] == start
        right = at + 1 < len(starts) and starts[at + 1] == stop
        if left and right:
            stops[at] = stops[at + 1]
            del starts[at + 1], stops[at + 1]
        elif left:
            stops[at] = stop
        elif right:
            starts[at + 1] = start
        else:
            starts.insert(at + 1, start)
            stops.insert(at + 1, stop)

    def covered(self, start: int, stop: int) -> list[Interval]:
        """Return which parts of start..stop are in the set."""
        found = []
        for at in range(max(bisect_right(self.starts, start) - 1, 0), len(self.starts)):
            if self.starts[at] >= stop:
                break
            a, b = max(self.starts[at], start), min(self.stops[at], stop)
            if a < b:
                found.append((a, b))
        return found

    def prefix(self) -> int:
        """Return how far the set reaches from 0 on."""
        return self.stops[0] if self.starts and self.starts[0] == 0 else 0


class ClosingProgress:
    """How far a step that closes siblings is with a segment.

    Attributes:
        arrived: chunks that have arrived and not been used.
        reach: how far they cover without a hole.
        done: how many parents are finished.
    """

    __slots__ = ("arrived", "done", "reach")

    def __init__(self) -> None:
        self.arrived = IntervalMap()
        self.reach = 0
        self.done = 0
