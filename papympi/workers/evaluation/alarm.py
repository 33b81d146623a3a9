"""Time-outs where Python can be interrupted: an alarm raises in the main thread at the item that takes too long."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from types import FrameType, TracebackType
from typing import Any, Final, Self

from papympi.model.tracebacks import trace_thread
from papympi.plan.program import Program
from papympi.workers.evaluation.progress import BEGUN, NOTHING, ProgressRecord, ProgressSnapshot

NS: Final = 1_000_000_000
_LOOK_S: Final = 1.5
"""Who looks after time-outs and has not for so long, in seconds, could not."""
MERCY_S: Final = 0.5
"""How long after its time-out an item may take to end by itself, before its process or thread is given up."""


class Overdue(BaseException):
    """Raised in a function at its time-out; no `Exception`, so that it is not taken for one of the function's own."""


class Abandoned(Overdue):
    """Raised in a thread that was given up: nobody waits for its batch any more."""


class hold:  # noqa: N801 - it reads as a verb: `with hold(): ...`
    """While its block lasts, the main thread is not interrupted: an alarm that comes then comes a little later."""

    __slots__ = ("_main",)
    _blocks = 0

    def __enter__(self) -> None:
        self._main = threading.get_ident() == threading.main_thread().ident
        if self._main:
            hold._blocks += 1

    def __exit__(self, *exc: object) -> None:
        if self._main:
            hold._blocks -= 1

    @staticmethod
    def is_held() -> bool:
        """Say whether the main thread must not be interrupted now."""
        return hold._blocks > 0


class TimeoutAlarm:
    """While its block lasts, an item that takes longer than its time-out is interrupted, if this is the main thread.

    The timer is set once and looks into the record when it fires: an item costs no system call. A handler and a timer
    that the process has of its own come back at the end.

    Args:
        progress: says when the item at work began, and what programs it has started: they end first, as what waits for
            them would go on without them.
        seconds: the time-out.
    """

    def __init__(self, progress: ProgressRecord, seconds: float) -> None:
        self._slots = progress.slots
        self._programs = progress.programs
        self._seconds = seconds
        self._armed = self._is_late = False
        self._continued_ns = 0
        self._before: Any = None
        self._before_stop: Any = None
        self._timer = (0.0, 0.0)
        self._since = 0.0

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            return self
        timer = signal.getitimer(signal.ITIMER_REAL)
        if timer[0] and timer[0] <= self._seconds:
            return self  # the process waits for something of its own that comes first
        self._since = time.monotonic()
        self._before = signal.signal(signal.SIGALRM, self._ring)
        self._before_stop = signal.signal(signal.SIGCONT, self._continue)
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._seconds)
        self._armed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._armed:
            return
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        signal.signal(signal.SIGCONT, self._before_stop)
        if self._timer[0]:
            left = self._timer[0] - (time.monotonic() - self._since)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3), self._timer[1])

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        """Raise if the item at work is overdue; else wait for the time at which it will be."""
        if not self._armed:
            return
        if hold.is_held():
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
            return
        begun = self._slots[BEGUN]
        late = 0.0 if begun == NOTHING else (time.monotonic_ns() - max(begun, self._continued_ns)) / NS
        signal.setitimer(signal.ITIMER_REAL, max(self._seconds - late, 1e-3) if late < self._seconds else self._seconds)
        if late >= self._seconds and not self._is_late:
            self._is_late = True
            signal.setitimer(signal.ITIMER_REAL, 1e-3)  # if this process has been stopped, that is told next
            return
        self._is_late = False
        if late >= self._seconds:
            self._programs.end_since(begun)
            raise Overdue

    def _continue(self, number: int, frame: FrameType | None) -> None:
        """Let the item have its time anew: this process was stopped, nobody can say for how long."""
        standstill.continued_ns = self._continued_ns = time.monotonic_ns()
        if callable(self._before_stop):
            self._before_stop(number, frame)


class Standstill:
    """Knows for how long this process stood still, stopped as its job was: then nobody looked, and nobody was late.

    Who waits for something that may be late looks again and again, much more often than every `_LOOK_S`. A process
    whose main thread is at the items cannot; it hears by a signal that it goes on.

    Attributes:
        continued_ns: when the main thread has heard that the process goes on, by `time.monotonic_ns`.
    """

    def __init__(self) -> None:
        self.continued_ns = 0
        self._looked = time.monotonic()
        self._found: deque[tuple[float, float]] = deque(maxlen=100)

    def count_since(self, moment: float) -> float:
        """Look, and return for how many seconds it stood still since a moment of `time.monotonic`."""
        now = time.monotonic()
        if now - self._looked > _LOOK_S:
            self._found.append((self._looked, now))
        self._looked = now
        return sum(end - max(start, moment) for start, end in self._found if end > moment)

    def excuses(self, begun_ns: int, limit_ns: int) -> bool:
        """Say whether what has begun then and is over now has taken too long only because the process stood still."""
        if self.continued_ns > begun_ns:
            return True
        if threading.current_thread() is threading.main_thread():
            return False
        stood_ns = self.count_since(begun_ns / NS) * NS
        return time.monotonic_ns() - begun_ns - stood_ns <= limit_ns


standstill: Final = Standstill()


def call_timed(function: Callable[..., Any], row: Sequence[Any], slots: memoryview[int], limit_ns: int) -> Any:
    """Return what a function returns; raise `Overdue` if it took too long, whether or not it could be interrupted."""
    begun = time.monotonic_ns()
    slots[BEGUN] = begun
    try:
        value = function(*row)
    finally:
        slots[BEGUN] = NOTHING  # from here on the alarm is silent
    if time.monotonic_ns() - begun > limit_ns and not standstill.excuses(begun, limit_ns):
        raise Overdue
    return value


def interrupt_thread(thread: int) -> TracebackType | None:
    """Raise `Abandoned` in a thread when it next runs Python code, as nobody waits for it; return where it is."""
    import ctypes

    trace = trace_thread(thread)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Abandoned))
    return trace


def tell_abandoned(pool: str, count: int) -> str:
    """Return the note of a pool some of whose threads have been abandoned."""
    what = "a thread" if count == 1 else f"{count} threads"
    return f"pool {pool!r}: {what} could not be interrupted when an item timed out, was abandoned, and may still run"


def find_timeout(program: Program, stage: int | None, progress: ProgressSnapshot) -> tuple[float, float]:
    """Return the time-out of what a worker is at, in seconds, and when it has had that and some mercy: 0, inf for none.

    That is by `time.monotonic`. `stage` is that of the task that it is at; `None`: it is at none.
    """
    if stage is None or progress.node is None or progress.begun_ns is None:
        return 0.0, inf
    timeout = (program.stages[stage].calls[progress.node].timeout or 0.0) * progress.items
    begun = progress.begun_ns / NS
    return timeout, begun + timeout + MERCY_S + standstill.count_since(begun) if timeout else inf


def find_shortest_timeout(program: Program) -> float:
    """Return the shortest time-out of all nodes, in seconds; 0: none has one."""
    calls = (call for stage in program.stages.values() for call in stage.calls)
    return min((call.timeout for call in calls if call.timeout), default=0.0)
