"""What node functions print and log, on its way from the workers to the runner, and how much of it there may be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from papympi.model.item import Key
from papympi.model.telling import clean, clean_line

PRINTED: Final = 0
"""The level of what was printed; `Record.name` is then "stdout" or "stderr", "output" if not through Python's own."""

_MOST_WAITING: Final = 2000
"""How many records may wait for the outcome that takes them home."""


class Record(NamedTuple):
    """One line that was printed, or one message that was logged.

    Attributes:
        node: the node, or the resource that was being made; "" if neither.
        key: the item's key; `None`: no item was at work.
        level: as in `logging`; `PRINTED`.
        name: the logger's name, or the stream's.
        text: without the end of the line.
        time: seconds since the epoch.
    """

    node: str
    key: Key | None
    level: int
    name: str
    text: str
    time: float


@dataclass(slots=True)
class Logs:
    """Records of one worker, in order.

    Attributes:
        worker: the worker's label.
        records: what has come through.
        dropped: by node, how many lines have not.
    """

    worker: str
    records: list[Record] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    def add(self, later: Logs) -> None:
        """Add what the same worker has sent later; what is too much to wait is dropped."""
        self.drop(later.dropped)
        for record in later.records:
            if len(self.records) < (2 * _MOST_WAITING if record.level >= logging.WARNING else _MOST_WAITING):
                self.records.append(record)
            else:
                self.drop({record.node: 1})

    def drop(self, dropped: Mapping[str, int]) -> None:
        """Count lines that were dropped."""
        for node, count in dropped.items():
            self.dropped[node] = self.dropped.get(node, 0) + count


class TokenBucket:
    """How much may be said: some lines at once, then so many a second. A long line counts for several.

    Args:
        burst: how many lines at once.
        rate: how many a second.
    """

    __slots__ = ("_burst", "_left", "_rate", "_time")

    def __init__(self, burst: int, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._left = float(burst)
        self._time = 0.0

    def take(self, size: int, now: float) -> bool:
        """Say whether a line of so many characters may be said now."""
        if self._time:
            self._left = min(self._left + (now - self._time) * self._rate, self._burst)
        self._time = now
        if self._left < 1:
            return False
        self._left -= 1 + size // 1000
        return True


def format_line(record: Record, worker: str) -> str:
    """Return what was printed or logged as it is shown: with where it is from, and without control characters."""
    return format_prefix(record.node, record.key, worker) + clean_line(record.text)


def format_prefix(node: str, key: Key | None, worker: str) -> str:
    """Return what stands before a line: where it is from."""
    words = " ".join(part for part in (node, "" if key is None else str(key), worker) if part)
    return f"[{clean(words)}] "
