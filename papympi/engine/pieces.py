"""Runs of positions: the pieces that hold their values, and the sets that remember which have been seen.

A piece is a tuple `(start, stop, payload, offset, valid)`: positions start..stop of one segment have the values from
`offset` on in the payload, and bit i of `valid` says whether position start + i is there or was dropped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from papympi.transport.bitmap import clip_bitmap
from papympi.transport.payload import Payload
from papympi.transport.task import Slice

Piece = tuple[int, int, Any, int, int]
Interval = tuple[int, int]


class Shared(NamedTuple):
    """One value of an ancestor, shared by the positions start..stop: `value` is its place in the piece."""

    start: int
    stop: int
    piece: Piece
    position: int


def clip(piece: Piece, start: int, stop: int) -> Piece:
    """Return the part of a piece that lies in start..stop, which it must cover."""
    a, b, payload, offset, valid = piece
    if start == a and stop == b:
        return piece
    return (start, stop, payload, offset + start - a, clip_bitmap(valid, start - a, stop - a))


def cut_around(piece: Piece, failed: int, holes: Sequence[int]) -> Iterator[tuple[Piece, int]]:
    """Yield the parts of a piece, and of its bitmap of failures, that lie between some positions."""
    start, stop = piece[:2]
    at = start
    for hole in [*(hole for hole in holes if start <= hole < stop), stop]:
        if at < hole:
            yield clip(piece, at, hole), clip_bitmap(failed, at - start, hole - start)
        at = hole + 1


class Gathered:
    """The payload of a gather: one list a position, made of the pieces of its members, opened on a worker only.

    Attributes:
        pieces: disjoint, in order, without holes between `base` and the last of `ends`.
        ends: for each list the member position behind its last.
        base: the member position at which the first list begins.
    """

    __slots__ = ("base", "ends", "pieces", "starts")

    def __init__(self, pieces: list[Piece], ends: list[int], base: int) -> None:
        self.pieces = pieces
        self.ends = ends
        self.base = base
        self.starts = [piece[0] for piece in pieces]

    def slice(self, start: int, stop: int) -> Slice:
        """Return the lists start..stop as a task carries them."""
        low = self.ends[start - 1] if start else self.base
        high = self.ends[stop - 1]
        runs = []
        for piece in self.pieces[max(bisect_right(self.starts, low) - 1, 0) :]:
            if piece[0] >= high:
                break
            a, b = max(piece[0], low), min(piece[1], high)
            if a < b:
                part = clip(piece, a, b)
                payload, offset = place(part)
                runs.append((payload, offset, offset + b - a, part[4]))
        return ([end - low for end in self.ends[start:stop]], runs)


def place(piece: Piece) -> tuple[Payload, int]:
    """Return the payload of a piece and where its values begin in it; holes for a piece that is all dropped."""
    start, stop, payload, offset, _ = piece
    if payload is None:
        return Payload([None] * (stop - start)), 0
    cut: tuple[Payload, int] = payload.cut(offset, offset + stop - start)
    return cut


def to_slice(piece: Piece) -> Slice:
    """Return a piece as a task carries it."""
    start, stop, payload, offset, _ = piece
    if type(payload) is Gathered:
        return payload.slice(offset, offset + stop - start)
    payload, offset = place(piece)
    return (payload, offset, offset + stop - start)


class Port:
    """The pieces of one stream in one segment that wait for something: sorted and disjoint."""

    __slots__ = ("pieces", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.pieces: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """Put a piece in its place."""
        if not self.starts or piece[0] > self.starts[-1]:
            self.starts.append(piece[0])
            self.pieces.append(piece)
        else:
            at = bisect_left(self.starts, piece[0])
            self.starts.insert(at, piece[0])
            self.pieces.insert(at, piece)

    def _first(self, start: int) -> int:
        """Return the index of the first piece that reaches beyond `start`."""
        at = bisect_right(self.starts, start) - 1
        return at + 1 if at < 0 or self.pieces[at][1] <= start else at

    def covered(self, start: int, stop: int) -> list[Interval]:
        """Return which parts of start..stop the pieces cover, merged."""
        found: list[Interval] = []
        for at in range(self._first(start), len(self.starts)):
            piece = self.pieces[at]
            if piece[0] >= stop:
                break
            a, b = max(piece[0], start), min(piece[1], stop)
            if found and found[-1][1] == a:
                found[-1] = (found[-1][0], b)
            else:
                found.append((a, b))
        return found

    def look(self, position: int) -> Piece | None:
        """Return the piece that covers a position, if there is one."""
        at = bisect_right(self.starts, position) - 1
        return self.pieces[at] if at >= 0 and self.pieces[at][1] > position else None

    def peek(self, start: int, stop: int) -> list[Piece]:
        """Return the parts of the pieces within start..stop and leave them."""
        found = []
        for at in range(self._first(start), len(self.starts)):
            piece = self.pieces[at]
            if piece[0] >= stop:
                break
            found.append(clip(piece, max(piece[0], start), min(piece[1], stop)))
        return found

    def take(self, start: int, stop: int) -> list[Piece]:
        """Remove and return the parts of the pieces within start..stop."""
        low = high = self._first(start)
        taken: list[Piece] = []
        rest: list[Piece] = []
        while high < len(self.starts) and self.starts[high] < stop:
            piece = self.pieces[high]
            if piece[0] < start:
                rest.append(clip(piece, piece[0], start))
            taken.append(clip(piece, max(piece[0], start), min(piece[1], stop)))
            if piece[1] > stop:
                rest.append(clip(piece, stop, piece[1]))
            high += 1
        self.starts[low:high] = [piece[0] for piece in rest]
        self.pieces[low:high] = rest
        return taken

    def reach(self, start: int) -> int:
        """Return how far the pieces cover without a hole from `start` on."""
        at = bisect_left(self.starts, start)
        while at < len(self.starts) and self.starts[at] == start:
            start = self.pieces[at][1]
            at += 1
        return start


class Cover:
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
            raise AssertionError(f"positions {start}..{stop} passed twice")
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
