"""The programs that node functions start: they end with the time-out of their item, and with the run.

Linux tells which thread has started a process. So the programs of a node are known on every pool, in threads of the
user's process, too, and nothing of how they are started needs to be replaced. A program is ended with all that it has
started; one that has detached itself by then is nobody's. Elsewhere there is no such file, and nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from papympi.model.attempt import attempt
from papympi.model.telling import clean

_NS: Final = 1_000_000_000
_MOST: Final = 1 << 16
_LINKS: Final = 32
_WORDS: Final = 4000
"""So many characters of what a program has said are kept, the last."""
_HELPERS: Final = (b"resource_tracker", b"multiprocessing.forkserver", b"papympi-server")
"""What a process keeps for itself, however it came to be started in a node: by a word of the command or the name."""


class StartedPrograms:
    """The programs that one worker starts while it is at tasks: at one task at a time, unless it claims its thread."""

    def __init__(self) -> None:
        self._thread = 0
        self._file = -1
        self._before = b""
        self._left: set[tuple[int, int]] = set()
        self._claimed = False
        self._lock = threading.RLock()  # an alarm may come while its thread looks

    def claim_thread(self) -> None:
        """Note that whatever the calling thread starts from now on is of tasks, of which it may be at several."""
        self.begin()
        self._claimed = True

    def begin(self) -> None:
        """Note that the calling thread begins a task: what it has started before is none of the task's."""
        if not self._claimed:
            self._before = self._read()

    def finish(self) -> None:
        """Note that the task is over; what is still running stays until the run ends."""
        if self._thread and self._read() != self._before:  # else somebody has given its thread up
            self._left.update((pid, _began(pid)) for pid in self._list_new())

    def end_since(self, begun_ns: int) -> None:
        """End what the task has started since a moment of `time.monotonic_ns`; from any thread."""
        earliest = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.monotonic_ns() - begun_ns) / _NS if _IS_LINUX else 0
        ticks = int(earliest * os.sysconf("SC_CLK_TCK")) if _IS_LINUX else 0
        end_trees(pid for pid in self._list_new() if _began(pid) >= ticks)

    def end_all(self) -> None:
        """End what is left of all tasks, also of one that has not come to its end; from any thread."""
        here = os.getpid()
        left = [pid for pid, began in list(self._left) if _began(pid, parent=here) == began]
        end_trees([*self._list_new(), *left])

    def close(self) -> None:
        """Do so, and look no more before the next task; from any thread."""
        self.end_all()
        self._left.clear()
        with self._lock:
            self._before = b""
            self._let_go()

    def _list_new(self) -> set[int]:
        """Return what the thread has started and not waited for since the task began, but for helpers of Python."""
        found = set(map(int, set(self._read_again().split()) - set(self._before.split())))
        return {pid for pid in found - _list_own() if not _helps(pid)} if found else found

    def _read(self) -> bytes:
        """Return the process ids of what the calling thread has started."""
        thread = threading.get_native_id()
        with self._lock:
            if thread != self._thread:
                self._let_go()
                self._thread = thread
                with contextlib.suppress(OSError):
                    self._file = os.open(f"/proc/self/task/{thread}/children", os.O_RDONLY | os.O_CLOEXEC)
            return self._read_file()

    def _let_go(self) -> None:
        """Close the file; the lock is held."""
        if self._file >= 0:
            os.close(self._file)
        self._thread, self._file = 0, -1

    def _read_again(self) -> bytes:
        """Return the same of the thread that was looked at last."""
        with self._lock:
            return self._read_file()

    def _read_file(self) -> bytes:
        """Do so; the lock is held. It is asked twice a task, which may take microseconds only."""
        try:
            return os.pread(self._file, _MOST, 0) if self._file >= 0 else b""
        except OSError:  # the thread has ended
            return b""


_IS_LINUX: Final = sys.platform == "linux"


def end_trees(pids: Iterable[int]) -> None:
    """Kill some processes, and all that they have started."""
    for pid in list(pids):
        for each in [pid, *_descendants(pid)]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)


def kill_worker(pid: int) -> None:
    """Kill a worker's process, those in its process group, and the programs that have left that."""
    programs = list(_descendants(pid))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    end_trees(programs)


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_bytes().split()):
                yield child
                yield from _descendants(child)


def _list_own() -> set[int]:
    """Return the children of this process that are not a node's: those of multiprocessing, which sees to them."""
    room = sys.modules.get("multiprocessing.process")
    return {process.pid for process in list(getattr(room, "_children", ()))}


def _helps(pid: int) -> bool:
    """Say whether a process is a helper of Python's or papympi's."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/comm").read_bytes()
        return any(helper in words for helper in _HELPERS)
    return False


def _began(pid: int, parent: int | None = None) -> int:
    """Return when a process began, in ticks since the host did; -1 if there is no such one, below that parent."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if parent in (None, int(fields[1])):
            return int(fields[19])
    return -1


def tell_program(error: BaseException) -> str:
    """Return what the program that an exception of `subprocess` is about has said last on its standard error, or ""."""
    said, refusal = attempt(_find_words, error)  # what an exception answers to questions is users' code
    return "" if refusal is not None or not said else f"The program wrote to its standard error:\n{clean(said)}\n"


def _find_words(error: BaseException) -> str:
    link: BaseException | None = error
    for _ in range(_LINKS):
        said = getattr(link, "stderr", None) if hasattr(link, "cmd") else None
        if isinstance(said, bytes | str) and said.strip():
            text = said.decode(errors="replace") if isinstance(said, bytes) else said
            return text.strip()[-_WORDS:]
        link = None if link is None else link.__cause__ or link.__context__
    return ""
