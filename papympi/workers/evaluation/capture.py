"""Sees what node functions print and log, in a process that does other things, too.

`sys.stdout` and `sys.stderr` are stood in for; what is written outside node functions goes where it always went. What
is written to the descriptors themselves, by C code or `sys.stdout.buffer`, is not seen. Log messages are taken as they
are made, so that it does not matter which handlers the user's code adds or removes, and what these write is not taken
a second time.

A stand-in lives as long as the stream that it stands for. `print` only borrows `sys.stdout` up to Python 3.13, and a
thread that prints while the last run ends would write through an object that is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from papympi.workers.evaluation.location import current
from papympi.workers.evaluation.recorder import OutputRecorder

_HANDLERS: Final = logging.StreamHandler.emit.__code__
_STREAMS: Final = ("stdout", "stderr")


class _CapturedStream:
    """Stands in for a stream; all but what node functions write to it is the original's.

    Attributes:
        papympi_original: the stream.
    """

    def __init__(self, original: Any, name: str) -> None:
        self.papympi_original = original
        self._name = name

    def write(self, text: str) -> int:
        """Write text, or give it to the recorder of the item that is at work."""
        location = current()
        if location is None or location.recorder is None or not isinstance(text, str):
            written: int = self.papympi_original.write(text)
            return written
        if not text:
            return 0
        caller = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
        if caller.f_code is _HANDLERS and hasattr(caller.f_locals.get("record"), "papympi_worker"):
            return len(text) if location.recorder.whole else int(self.papympi_original.write(text))
        node, key = location.locate()
        location.recorder.write(node, key, self._name, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write some texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.papympi_original, name)


_KEPT: Final = "papympi_stand_in"
_unmarked: Final[list[_CapturedStream]] = []
"""Stand-ins for streams that have no room for an attribute."""


def _find_stand_in(stream: Any, name: str) -> _CapturedStream:
    """Return what stands in for a stream, always the same."""
    own: dict[str, Any] = {}
    with contextlib.suppress(AttributeError):
        own = object.__getattribute__(stream, "__dict__")  # its own, and not that of another which it wraps
    for known in (own.get(_KEPT), *_unmarked):
        if known is not None and known.papympi_original is stream:
            found: _CapturedStream = known
            return found
    made = _CapturedStream(stream, name)
    own[_KEPT] = made
    if getattr(stream, _KEPT, None) is not made:
        _unmarked.append(made)
    return made


class _Capture:
    """What has been put in location in this process, and for how many."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may begin or end a run while its thread does
        self._users = 0
        self._factory: Callable[..., logging.LogRecord] = logging.LogRecord
        self._makes_records = False

    def open(self) -> None:
        """Put everything in location."""
        with self._lock:
            self._users += 1
            for name in _STREAMS:
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, _CapturedStream):
                    setattr(sys, name, _find_stand_in(stream, name))
            if not self._makes_records:
                self._makes_records = True
                self._factory = logging.getLogRecordFactory()
                logging.setLogRecordFactory(self._make_record)

    def close(self) -> None:
        """Take it away again, when nobody else needs it; what others have put in its location stays."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for name in _STREAMS:
                stream = getattr(sys, name)
                if isinstance(stream, _CapturedStream):
                    setattr(sys, name, stream.papympi_original)
            if logging.getLogRecordFactory() == self._make_record:
                logging.setLogRecordFactory(self._factory)
                self._makes_records = False  # who is just making one goes on with the same factory

    def renew_lock(self) -> None:
        """Let go of a lock that a thread of the parent held when this process was forked."""
        self._lock = threading.RLock()

    def _make_record(self, *args: Any, **options: Any) -> logging.LogRecord:
        """Return a log record, taken down if a node function has made it."""
        record = self._factory(*args, **options)
        location = current()
        if location is not None and location.recorder is not None and record.name:
            location.recorder.log(*location.locate(), record)
        return record


_capture: Final = _Capture()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_capture.renew_lock)
_runner: list[int] = [0]


def be_runner() -> None:
    """Note that this process runs graphs: its own prints and log messages need not be brought to it."""
    _runner[0] = os.getpid()


def is_runner() -> bool:
    """Say whether this process runs graphs."""
    return _runner[0] == os.getpid()


class OutputCapture:
    """Listens, for one evaluator, until it is closed.

    Args:
        label: what records call it.
        recorder: a recorder that is there already.
        shares: it shares the runner's objects.
        raw: it is the runner itself.

    Attributes:
        recorder: what it hears with.
    """

    def __init__(self, label: str, recorder: OutputRecorder | None, *, shares: bool, raw: bool) -> None:
        local = shares or is_runner()
        self.recorder = recorder or OutputRecorder(label, local=local, raw=raw)
        self._open = True
        _capture.open()

    def close(self) -> None:
        """Stop listening, and show what has not been asked for."""
        if self._open:
            self._open = False
            self.recorder.close()
            _capture.close()
