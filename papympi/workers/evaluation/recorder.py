"""Takes down what node functions print and log, no more of it than can be read, and counts what it leaves out."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from papympi.model.attempt import attempt
from papympi.model.item import Key
from papympi.model.telling import clean_line, describe, tell
from papympi.model.tracebacks import tell_traceback
from papympi.transport.records import PRINTED, Logs, Record, TokenBucket, format_line, format_prefix
from papympi.workers.evaluation.alarm import hold

BURST: Final = 1000
"""So many lines of a node may come from one worker at once."""
RATE: Final = 100.0
"""So many a second after that."""
LONGEST: Final = 10_000
"""So many characters of a line are kept."""

_MOST: Final = 2000
_TELL_S: Final = 1.0
"""How often a worker says by itself that it drops lines."""


class OutputRecorder:
    """The records of one worker.

    Args:
        tell: takes records as they come; `None`: they wait for `take`.
        local: the worker is in the runner's process: logging goes its own way there, and prints are shown at once.
        raw: of a local worker: prints are shown as they are, unfinished lines too.

    Attributes:
        whole: this is the one recorder of a worker process.
    """

    def __init__(
        self,
        worker: str,
        tell: Callable[[Logs], None] | None = None,
        *,
        local: bool = False,
        raw: bool = False,
    ) -> None:
        self.whole = not local
        self._worker = worker
        self._tell = show if local else tell
        self._raw = raw
        self._lock = threading.RLock()
        self._logs = Logs(worker)
        self._open: dict[str, _Line] = {}
        self._buckets: dict[tuple[str, bool], TokenBucket] = {}
        self._told = 0.0
        self._unfinished: tuple[str, Key | None] | None = None

    def write(self, node: str, key: Key | None, stream: str, text: str) -> None:
        """Take text that was printed."""
        if self._raw:
            self._write_raw((node, key), text)
            return
        with hold(), self._lock:
            line = self._open.get(stream)
            if line is not None and line.owner != (node, key):
                self._finish(stream)
                line = None
            start = 0
            while (end := text.find("\n", start)) >= 0:
                if line is not None:
                    line.extend(text, start, end)
                    self._finish(stream)
                    line = None
                elif not self._put(Record(node, key, PRINTED, stream, _cut(text, start, end), time.time())):
                    rest = text.count("\n", end + 1)  # they would not get through, either
                    self._drop(node, rest)
                    start = text.rfind("\n") + 1
                    break
                start = end + 1
            if start < len(text):
                line = self._open.setdefault(stream, _Line((node, key)))
                line.extend(text, start, len(text))

    def log(self, node: str, key: Key | None, record: logging.LogRecord) -> None:
        """Take a message that was logged; it is marked, so that it is not taken again from where handlers write it."""
        record.papympi_node, record.papympi_key, record.papympi_worker = node, key, self._worker
        if not self.whole:
            _add_prefix(record, format_prefix(node, key, self._worker))
            return
        text = _message_of(record)
        with hold(), self._lock:
            self._finish_all()
            self._put(Record(node, key, record.levelno, record.name, _cut(text, 0, len(text)), record.created))

    def take(self, *, finish: bool = True) -> Logs | None:
        """Return what waits, unfinished lines too if they are to be finished; `None`: nothing does."""
        if self._unfinished is not None:
            self._unfinished = None
            write_text("\n")
        if not self._open and not self._logs.records and not self._logs.dropped:
            return None
        with hold(), self._lock:
            if finish:
                self._finish_all()
            logs, self._logs = self._logs, Logs(self._worker)
        return logs if logs.records or logs.dropped else None

    def finish(self) -> None:
        """End the lines that have no end yet."""
        with hold(), self._lock:
            self._finish_all()

    def close(self) -> None:
        """Show what is left, of which nobody will ask any more."""
        logs = self.take()
        if logs is not None:
            show(logs)

    def _write_raw(self, owner: tuple[str, Key | None], text: str) -> None:
        """Show text as it is; items do not share lines."""
        if self._unfinished not in {None, owner}:
            write_text("\n")
        self._unfinished = None if text.endswith("\n") else owner
        write_text(text)

    def _finish_all(self) -> None:
        for stream in list(self._open):
            self._finish(stream)

    def _finish(self, stream: str) -> None:
        """End the line that a stream has open."""
        line = self._open.pop(stream)
        self._put(Record(*line.owner, PRINTED, stream, line.finish(), time.time()))

    def _put(self, record: Record) -> bool:
        """Keep or send a record, if it may come through; return whether it does."""
        urgent = record.level >= logging.WARNING
        place = record.node, urgent
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = TokenBucket(BURST, RATE)
        crowded = len(self._logs.records) >= (2 * _MOST if urgent else _MOST)  # a flood must not hide warnings
        if crowded or not bucket.take(len(record.text), time.monotonic()):
            self._drop(record.node, 1)
            return False
        self._logs.records.append(record)
        if self._tell is not None:
            self._send()
        return True

    def _drop(self, node: str, count: int) -> None:
        if not count:
            return
        self._logs.drop({node: count})
        if self._tell is not None and self.whole and time.monotonic() - self._told > _TELL_S:
            self._send()

    def _send(self) -> None:
        """Send what waits."""
        assert self._tell is not None
        logs = self._logs
        if self.whole:
            self._logs = Logs(self._worker)
            self._told = time.monotonic()
        else:  # what was dropped is told with the outcome
            logs, self._logs = Logs(self._worker, logs.records), Logs(self._worker, [], logs.dropped)
        self._tell(logs)


class _Line:
    """A line that has no end yet.

    Attributes:
        owner: the node and the key of the item that prints it.
    """

    def __init__(self, owner: tuple[str, Key | None]) -> None:
        self.owner = owner
        self._text = ""
        self._more = 0

    def extend(self, text: str, start: int, end: int) -> None:
        """Add `text[start:end]`; a carriage return takes back what is before it, as on a terminal."""
        back = text.rfind("\r", start, end - 1 if text[end - 1 : end] == "\r" else end)
        if back >= 0:
            self._text, self._more, start = "", 0, back + 1
        room = max(LONGEST - len(self._text), 0)
        self._text += text[start : min(end, start + room)]
        self._more += max(end - start - room, 0)

    def finish(self) -> str:
        """Return the line."""
        text = self._text.removesuffix("\r")
        return text if not self._more else f"{text}… ({self._more:,} more characters)"


def _cut(text: str, start: int, end: int) -> str:
    """Return `text[start:end]` as one line of bearable length."""
    line = _Line(("", None))
    line.extend(text, start, end)
    return line.finish()


def _add_prefix(record: logging.LogRecord, prefix: str) -> None:
    """Let a record that goes its own way say where it is from; its arguments stay if a terminal can have them."""
    text, error = attempt(record.getMessage)
    if error is None and (safe := clean_line(text)) != text:
        record.msg, record.args = safe, None
    record.msg = f"{prefix.replace('%', '%%') if record.args else prefix}{record.msg}"


def _message_of(record: logging.LogRecord) -> str:
    """Return what a record says, with the traceback that it has."""
    text, error = attempt(record.getMessage)
    if error is not None:  # its arguments do not fit, which is no reason to lose it
        text = f"{tell(record.msg)} {describe(record.args)}"
    if record.exc_info and record.exc_info[1] is not None:
        text += "\n" + tell_traceback(record.exc_info[1]).rstrip("\n")
    if record.stack_info:
        text += f"\n{record.stack_info}"
    return str(text)


def show(logs: Logs) -> None:
    """Show lines in this process."""
    lines = [format_line(record, logs.worker) for record in logs.records]
    lines += [describe_dropped(node, count, logs.worker) for node, count in logs.dropped.items()]
    if lines:
        put_lines("\n".join(lines))


def describe_dropped(node: str, count: int, worker: str = "") -> str:
    """Return the line that says what was left out."""
    lines = "1 line" if count == 1 else f"{count:,} lines".replace(",", " ")
    return f"{format_prefix('', None, worker) if worker else ''}… {lines} of node {node!r} dropped"


_displays: list[Callable[[str], object]] = []
"""Those that want the lines, the latest last."""


def put_lines(text: str) -> None:
    """Write some lines, which may be many in one text, without the last end of line."""
    if _displays:
        _displays[-1](text)
    else:
        write_text(f"{text}\n")


def write_text(text: str) -> None:
    """Write text as it is, at once; nobody listening is no error."""
    stream = getattr(sys.stderr, "papympi_original", sys.stderr)
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.write(text)
            stream.flush()


@contextlib.contextmanager
def shown_by(display: Callable[[str], object]) -> Iterator[None]:
    """Let `display` have the lines while the block lasts."""
    _displays.append(display)
    try:
        yield
    finally:
        _displays.remove(display)
