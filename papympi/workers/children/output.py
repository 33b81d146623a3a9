"""What is written to descriptors 1 and 2 of a child, by programs and C libraries too: a pipe, which its parent reads.

The parent tells it as lines of the item that the child is at when it reads. A child that comes to the end of a batch
with text still unread puts a mark behind it, so that quick items, too, have their own.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import io
import os
import sys
from array import array
from collections.abc import Callable
from fcntl import ioctl
from functools import partial
from termios import FIONREAD
from typing import Final

from papympi.model.item import Key
from papympi.transport.records import Logs
from papympi.transport.task import Task
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.progress import FOLLOWED, HEARD, LISTENS, ProgressRecord, ProgressSnapshot
from papympi.workers.evaluation.recorder import OutputRecorder

Owner = tuple[str, Key | None]
"""The node and the item whose lines they are."""

_STREAM: Final = "output"
"""What records call the stream."""
_CHUNK: Final = 1 << 16
_BEGIN: Final = b"\0papympi"
_END: Final = b"\0"
_LONG_S: Final = 50e-6
"""After items, or else batches, of at least this a child looks for unread text in any case."""
_TRIES: Final = 4
"""How often a parent reads in a row until the child stays at one item meanwhile."""
_LATELY: Final = 64
"""After so many looks that find nothing, a child looks no more behind each item."""


class OutputReader:
    """The parent's end of the pipe, and all that the child has printed and logged, also by other ways.

    Args:
        descriptor: of the pipe.
        label: what records call the child.

    Attributes:
        logs: what nobody has taken yet; `None`: nothing is there.
    """

    def __init__(self, descriptor: int, label: str) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self.logs: Logs | None = None
        self._recorder = OutputRecorder(label)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = b""
        self._open = False

    def listen(self, record: ProgressRecord, locate: Callable[[ProgressSnapshot], Owner]) -> bool:
        """Read while the child goes on; return `False` at the end of the pipe.

        While its parent listens, a child that is followed puts a mark behind each item. So what has none is that of the
        item which the child is at both before and after the parent reads; if these differ, the mark is on its way. Of
        a child that is not followed, whose items are quick, only the node is known, if that stays the same.
        """
        slots = record.slots
        slots[LISTENS] = 1
        data: bytes | None = None
        for _ in range(_TRIES):
            followed = slots[FOLLOWED] == 1
            before = locate(record.read(finished=True))
            data = self._receive()
            now = locate(record.read(finished=True))
            if not followed:
                slots[HEARD] = 1
                now = now[0] if now[0] == before[0] else "", None
            if not followed or now == before:
                self._settle(now)
                break
        if not self._rest:
            slots[LISTENS] = 0
        return data != b""

    def _receive(self) -> bytes | None:
        """Read once, tell what has a mark behind it, keep the rest; `b""` at the end, `None` if there was nothing."""
        try:
            data = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return None
        self._rest += data
        while (begin := self._rest.find(_BEGIN)) >= 0 and (end := self._rest.find(_END, begin + 1)) >= 0:
            import json  # workers seldom need it

            node, key = json.loads(self._rest[begin + len(_BEGIN) : end])
            self._write((node, None if key is None else tuple(key)), self._rest[:begin])
            self.finish()
            self._rest = self._rest[end + 1 :]
        self._collect()
        return data

    def _settle(self, owner: Owner) -> None:
        """Let what is left be an owner's, unless a mark has come of which the other half will."""
        if _BEGIN not in self._rest:
            cut = _find_part(self._rest)
            self._write(owner, self._rest[:cut])
            self._rest = self._rest[cut:]
            self._collect()

    def finish(self) -> None:
        """End an unfinished line: its item has come to its end."""
        if self._open:
            self._open = False
            self._recorder.finish()
            self._collect()

    def read_all(self, owner: Owner) -> None:
        """Read all there is; more may come while something holds the other end."""
        while self._receive():
            self._settle(owner)
        self._write(owner, self._rest)
        self._rest = b""
        self.finish()

    def put(self, logs: Logs) -> None:
        """Take what the child has sent by another way."""
        self.logs = logs if self.logs is None else self.take(logs)

    def take(self, last: Logs | None = None) -> Logs | None:
        """Return what is there, and then `last`."""
        logs, self.logs = self.logs, None
        if logs is not None and last is not None:
            logs.add(last)
        return logs or last

    def _collect(self) -> None:
        """Put the lines that are complete to the rest."""
        lines = self._recorder.take(finish=False)
        if lines is not None:
            self.put(lines)

    def _write(self, owner: Owner, data: bytes) -> None:
        """Take text that has been read."""
        if data:
            text = self._decoder.decode(data)
            self._open = not text.endswith("\n")
            self._recorder.write(*owner, _STREAM, text)


def _find_part(data: bytes) -> int:
    """Return where a mark begins of which the last bytes may have only a part; by default where they end."""
    place = data.rfind(_BEGIN[:1], -len(_BEGIN))
    return place if place >= 0 and _BEGIN.startswith(data[place:]) else len(data)


class OutputMarker:
    """The child's end of the pipe, if it has one, which takes the place of standard output and standard error.

    At first, and while there is text or items take a while, it looks behind each item whether there is some that nobody
    has read yet; else only behind batches that take a while.
    """

    def __init__(self, descriptor: int | None, record: ProgressRecord) -> None:
        self._descriptor = -1 if descriptor is None else descriptor
        self._slots = record.slots
        self._before = _copy_stderr()
        self._follows = False
        self._left = 0 if descriptor is None else _LATELY
        self._looks = 0
        self._unread = array("i", [0])
        self._point(self._descriptor)
        _unbuffer()

    def end_batch(self, task: Task | None, seconds: float, evaluator: Evaluator) -> None:
        """Look behind a batch that took so long, and decide how to go on."""
        slots = self._slots
        if not self._follows and seconds < _LONG_S and slots[HEARD] != 1 and self._left <= 0:  # as nearly always
            return
        if self._follows or seconds >= _LONG_S:
            self._look(evaluator, is_sure=self._follows or (task is not None and task.count <= 1))
        if slots[HEARD] == 1:
            slots[HEARD] = 0
            self._left = _LATELY
        are_long = self._follows and seconds >= self._looks * _LONG_S
        self._looks = 0
        if self._follows != (self._left > 0 or are_long):
            self._follows = not self._follows
            evaluator.follow(partial(self._look, evaluator) if self._follows else None)
            slots[FOLLOWED] = int(self._follows)

    def _look(self, evaluator: Evaluator, *, is_sure: bool = True) -> None:
        """Say whose the text is that nobody has read yet, or that is just being read, if there is any."""
        with contextlib.suppress(OSError, ValueError):  # a system that cannot tell; there is no pipe
            ioctl(self._descriptor, FIONREAD, self._unread)
        if self._unread[0]:
            self._left = _LATELY
        else:
            self._left -= 1
            self._looks += 1
            if self._slots[LISTENS] != 1 or self._descriptor < 0:
                return
        import json

        node, key = evaluator.locate()
        told = [node, key if is_sure else None]
        os.write(self._descriptor, _BEGIN + json.dumps(told).encode() + _END)

    def rest(self) -> None:
        """Look no more: this is a copy of the worker."""
        self._descriptor, self._unread[0] = -1, 0

    def leave(self) -> None:
        """Write to the server's standard error from now on: nobody reads the pipe any more."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        self._point(self._before)

    def _point(self, descriptor: int) -> None:
        """Let standard output and standard error be a descriptor."""
        for number in (1, 2) if descriptor >= 0 else ():
            os.dup2(descriptor, number)


def _copy_stderr() -> int:
    """Return a copy of standard error, or of nothing if it is closed."""
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _unbuffer() -> None:
    """Let what this process writes be seen at once: the text of C's `printf`, of `sys.stdout.buffer` and the rest."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, f"__{name}__")
        if isinstance(stream, io.TextIOWrapper):
            raw = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - it lasts as long as the process
            fresh = io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)
            if getattr(sys, name) is stream:
                setattr(sys, name, fresh)
            setattr(sys, f"__{name}__", fresh)
            stream.flush()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, 1, 0)  # by lines
