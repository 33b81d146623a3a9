"""Bitmaps over consecutive positions: which of them are valid, that is there and not dropped, or which hold a failure.

Bit i stands for the position i places behind the first one. `FULL` is the bitmap of any length in which nothing is
missing; it is the usual one, and is what `normalized` makes of every bitmap that has all its bits.

It stands alone because engine, workers and stores all reckon with bitmaps.
"""

from __future__ import annotations

from typing import Final

FULL: Final = -1
"""Every bit set, however many positions there are."""


def ones(count: int) -> int:
    """Return a bitmap of `count` set bits."""
    return (1 << count) - 1


def normalized(bitmap: int, count: int) -> int:
    """Return the bitmap of `count` positions, as `FULL` if nothing is missing."""
    return FULL if bitmap == ones(count) else bitmap


def clip_bitmap(bitmap: int, start: int, stop: int) -> int:
    """Return the bits start..stop, the first of them as bit 0."""
    return bitmap if bitmap == FULL else (bitmap >> start) & ones(stop - start)


def spell_out(bitmap: int, count: int) -> int:
    """Return the bitmap of `count` positions with each of its bits, also if it is `FULL`."""
    return ones(count) if bitmap == FULL else bitmap


def is_valid(bitmap: int, index: int) -> bool:
    """Return whether bit `index` is set."""
    return bool(bitmap >> index & 1)
