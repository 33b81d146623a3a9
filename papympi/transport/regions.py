"""Which parts of a stretch of memory are free; knows offsets and sizes in bytes, and touches no memory."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from typing import Final

PAGE: Final = 4096
"""How many bytes a page of memory has."""

Block = tuple[int, int]
"""A block: its offset and its size, in bytes."""


class Region:
    """A stretch of memory of which blocks are taken, and given back in any order.

    The lowest gap that is large enough is taken, so memory that was used before is used again: fresh pages cost several
    times what a copy costs.

    Args:
        start: offset of its first byte, a multiple of 4096.
        stop: offset behind its last byte.
        used: blocks that are taken already.

    Attributes:
        gaps: start and stop of each part that is free, in order.
    """

    def __init__(self, start: int, stop: int, used: Iterable[Block] = ()) -> None:
        self._taken = {offset: round_up(size) for offset, size in used}
        self.gaps: list[Block] = []
        for offset in sorted(self._taken):
            self._add_gap(start, offset)
            start = offset + self._taken[offset]
        self._add_gap(start, stop)

    def take(self, size: int) -> int | None:
        """Return the offset of a block, a multiple of 4096; `None`: no gap is large enough."""
        size = round_up(size)
        for number, (start, stop) in enumerate(self.gaps):
            if stop - start >= size:
                if stop - start == size:
                    del self.gaps[number]
                else:
                    self.gaps[number] = start + size, stop
                self._taken[start] = size
                return start
        return None

    def give(self, offset: int) -> None:
        """Give a block back."""
        gaps, stop = self.gaps, offset + self._taken.pop(offset)
        number = bisect(gaps, (offset, stop))
        if number < len(gaps) and gaps[number][0] == stop:
            stop = gaps.pop(number)[1]
        if number and gaps[number - 1][1] == offset:
            number -= 1
            offset = gaps.pop(number)[0]
        gaps.insert(number, (offset, stop))

    def _add_gap(self, start: int, stop: int) -> None:
        if start < stop:
            self.gaps.append((start, stop))


def round_up(size: int) -> int:
    """Return the size of the whole pages that so many bytes take."""
    return -(-size // PAGE) * PAGE
