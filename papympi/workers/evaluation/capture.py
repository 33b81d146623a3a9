"""Sees what node functions print and log, in a process that does other things, too.

`sys.stdout` and `sys.stderr` are stood in for; what is written outside node functions goes where it always went. What
is written to the descriptors themselves, by C code or `sys.stdout.buffer`, is not seen. Log messages are taken as they
are made, so that it does not matter which handlers the user's code adds or removes, and what these write is not taken
a second time.
"""

from __future__ import annotations

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


class _Capture:
    """What has been put in location in this process, and for how many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._factory: Callable[..., logging.LogRecord] | None = None

    def open(self) -> None:
        """Put everything in location."""
        with self._lock:
            self._users += 1
            for name in _STREAMS:
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, _CapturedStream):
                    setattr(sys, name, _CapturedStream(stream, name))
            factory = logging.getLogRecordFactory()
            if self._factory is None:
                self._factory = factory
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
            if logging.getLogRecordFactory() == self._make_record and self._factory is not None:
                logging.setLogRecordFactory(self._factory)
                self._factory = None

    def _make_record(self, *args: Any, **options: Any) -> logging.LogRecord:
        """Return a log record, taken down if a node function has made it."""
        assert self._factory is not None
        record = self._factory(*args, **options)
        location = current()
        if location is not None and location.recorder is not None and record.name:
            location.recorder.log(*location.locate(), record)
        return record


_capture: Final = _Capture()
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
