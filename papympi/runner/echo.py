"""Says in the runner what node functions have printed and logged at the workers."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Final

from papympi.transport.records import PRINTED, Logs, Record, TokenBucket, format_line
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.evaluation.recorder import describe_dropped, put_lines

_BURST: Final = 5000
_RATE: Final = 500.0
_PAUSE_S: Final = 5.0
"""Dropped lines are reported at once, and then no more often than this."""


class Echo:
    """Prints go to standard error, log messages to the logger of the same name, each with where it is from.

    Of one node no more comes through than can be read, however many workers there are; what does not is counted.
    """

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, bool], TokenBucket] = {}
        self._dropped: Counter[str] = Counter()
        self._said = 0.0

    def __call__(self, logs: Logs) -> None:
        """Say what a worker has sent."""
        lines: list[str] = []
        now = time.monotonic()
        for record in logs.records:
            urgent = record.level >= logging.WARNING
            bucket = self._buckets.get((record.node, urgent))
            if bucket is None:
                bucket = self._buckets[record.node, urgent] = TokenBucket(_BURST, _RATE)
            if not bucket.take(len(record.text), now):
                self._dropped[record.node] += 1
            elif record.level == PRINTED:
                lines.append(format_line(record, logs.worker))
            else:
                _put(lines)
                attempt(_log, record, logs.worker)  # a handler that raises must not end the run
        self._dropped.update(logs.dropped)
        if self._dropped and (not self._said or now - self._said > _PAUSE_S):
            self._said = now
            self._add_dropped(lines)
        _put(lines)

    def close(self) -> None:
        """Say what has been dropped since this was last said."""
        lines: list[str] = []
        self._add_dropped(lines)
        _put(lines)

    def _add_dropped(self, lines: list[str]) -> None:
        lines += [describe_dropped(node, count) for node, count in self._dropped.items()]
        self._dropped.clear()


def _put(lines: list[str]) -> None:
    """Print the lines, and empty the list."""
    if lines:
        put_lines("\n".join(lines))
        lines.clear()


def _log(record: Record, worker: str) -> None:
    """Give a message to the logger of the runner that is called as the worker's was."""
    logger = logging.getLogger(record.name)
    if not logger.isEnabledFor(record.level):
        return
    text = format_line(record, worker)
    extra = {"papympi_node": record.node, "papympi_key": record.key, "papympi_worker": worker}
    made = logger.makeRecord(record.name, record.level, "", 0, text, (), None, None, extra)
    made.created, made.msecs = record.time, record.time % 1 * 1000
    logger.handle(made)
