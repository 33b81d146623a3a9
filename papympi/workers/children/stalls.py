"""Finds children that wait for a thread which was not forked with them: they do nothing, before their first result.

Only children of a template with threads are watched. One counts as stalled when its main thread waits on a lock and the
whole of it has used no processor time for some seconds. That a child waits so for something else costs no more than its
batch, which is done again by one that has loaded the script itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_STALL_S: Final = 10.0
_LOOK_S: Final = 2.0


class _Watched(NamedTuple):
    """A child that has brought nothing yet: the processor time that it had when it was seen to work last."""

    pid: int
    used: float
    since: float


class StallWatch:
    """The children that have brought nothing yet."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._next = 0.0

    def begin(self, number: int, pid: int) -> None:
        """Watch a child."""
        now = time.monotonic()
        self._watched[number] = _Watched(pid, 0.0, now)
        self._next = now + _LOOK_S

    def end(self, number: int) -> None:
        """Watch a child no more: it has brought something, or is gone."""
        self._watched.pop(number, None)

    def deadline(self) -> float | None:
        """Return when to look again, by `time.monotonic`; `None`: nobody is watched."""
        return self._next if self._watched else None

    def find_stalled(self) -> Iterator[int]:
        """Yield the numbers of children that are stalled, if it is time to look; they are watched no more."""
        now = time.monotonic()
        if not self._watched or now < self._next:
            return
        self._next = now + _LOOK_S
        for number, child in list(self._watched.items()):
            used = _read_time(child.pid)
            if used > child.used or not _waits_on_lock(child.pid):
                self._watched[number] = _Watched(child.pid, used, now)
            elif now - child.since >= _STALL_S:
                del self._watched[number]
                yield number


def _read_time(pid: int) -> float:
    """Return how much processor time a process has used, in seconds."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _waits_on_lock(pid: int) -> bool:
    """Return whether the main thread of a process waits on a lock, as far as the kernel says."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text(encoding="utf-8").startswith("futex")
    except OSError:
        return False
