"""Who has released which positions of a segment: found at once however many hold them."""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

from papympi.engine.index.chunks import Interval, IntervalSet

MANY = 16
"""With more holders than this it is only counted how many of them have released a position."""


class Releases(Protocol):
    """What the holders of a segment have released."""

    def add(self, holder: int, start: int, stop: int) -> list[Interval]:
        """Note that a holder, by its number, has released start..stop; return what all have released with that."""


class ReleasedSets:
    """What each of a few holders has released; to release something twice is an error.

    Attributes:
        sets: by the number of the holder.
    """

    __slots__ = ("sets",)

    def __init__(self, holders: int) -> None:
        self.sets = [IntervalSet() for _ in range(holders)]

    def add(self, holder: int, start: int, stop: int) -> list[Interval]:
        """Note that a holder, by its number, has released start..stop; return what all have released with that."""
        self.sets[holder].add(start, stop)
        found = [(start, stop)]
        for number, others in enumerate(self.sets):
            if number != holder:
                found = [part for a, b in found for part in others.covered(a, b)]
        return found


class ReleaseCounts:
    """How many of many holders have released each position: each step costs the same, however many they are."""

    __slots__ = ("_counts", "_holders", "_starts")

    def __init__(self, holders: int) -> None:
        self._holders = holders
        self._starts = [0]  # from each of them to the next the count is the same; from the last one on nobody has
        self._counts = [0]

    def add(self, holder: int, start: int, stop: int) -> list[Interval]:  # noqa: ARG002 - who it was makes no difference
        """Note that a holder has released start..stop; return what all have released with that."""
        starts, counts = self._starts, self._counts
        low, high = self._cut(start), self._cut(stop)
        found = []
        for at in range(low, high):
            counts[at] += 1
            if counts[at] == self._holders:
                found.append((starts[at], starts[at + 1]))
            elif counts[at] > self._holders:
                raise AssertionError(f"positions {start}..{stop} were released twice")
        for at in (high, low):
            if at and counts[at - 1] == counts[at]:
                del starts[at], counts[at]
        return found

    def _cut(self, position: int) -> int:
        """Let an interval begin at a position; return its number."""
        at = bisect_right(self._starts, position) - 1
        if self._starts[at] < position:
            at += 1
            self._starts.insert(at, position)
            self._counts.insert(at, self._counts[at - 1])
        return at


def open_releases(holders: int) -> Releases:
    """Return what notes the releases of so many holders."""
    return ReleasedSets(holders) if holders <= MANY else ReleaseCounts(holders)
