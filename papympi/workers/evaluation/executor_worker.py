"""Where an executor's workers keep their evaluators: threads of the runner, or processes nothing is known about."""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import threading
from contextvars import Context
from typing import Final, NamedTuple

from papympi.plan.program import Program
from papympi.script.leave import leave_script
from papympi.script.state import CallerContext, apply_state
from papympi.transport.task import Outcome, Task
from papympi.workers.evaluation.capture import is_runner
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.progress import ProgressRecord
from papympi.workers.evaluation.scatter import SuspendedScatter
from papympi.workers.evaluation.setups import WorkerSetups

_RUNS_KEPT: Final = 4

live: dict[str, Program] = {}
"""Programs that need not be sent to this process, by run: it opened their pool, or is a fork of the one that did."""

_loaded: dict[str, Program] = {}
"""Programs whose settings hold in this process, by run."""
_loading = threading.Lock()


class _Seat(NamedTuple):
    """What one thread has of a run."""

    evaluator: Evaluator
    setups: WorkerSetups

    def leave(self) -> None:
        self.evaluator.close()
        self.setups.close()


_seats: dict[tuple[str, int], _Seat] = {}
"""By run and thread."""


class ThreadEvaluators(threading.local):
    """An evaluator for each thread that looks, closed when the thread ends.

    The threads share the runner's objects and the suspended generators.

    Args:
        caller: what they take over of the thread that has opened their pool.

    Attributes:
        context: in which the calling thread calls functions.
        evaluator: the calling thread's.
        progress: in which it says what it is at.
        label: what failures call it.
    """

    def __init__(
        self, program: Program, pool: str, generators: dict[int, SuspendedScatter], caller: CallerContext
    ) -> None:
        self.context = caller.copy()
        self.progress = ProgressRecord()
        self.label = _label(pool)
        evaluator = Evaluator(program, self.label, self.progress, generators, encodes=False)
        self._closing = _ClosingEvaluator(evaluator, self.context)
        self.evaluator = self._closing.evaluator


class _ClosingEvaluator:
    """Closes an evaluator in the thread whose locals it is among, as these are cleared."""

    def __init__(self, evaluator: Evaluator, context: Context) -> None:
        self.evaluator = evaluator
        self._context = context

    def __del__(self) -> None:
        self._context.copy().run(self.evaluator.close)  # a thread that was abandoned may be in the context itself


def serve(run: str, pool: str, data: bytes, packed: bytes | None) -> bytes | None:
    """Evaluate a pickled task, in whatever process; return the pickled outcome.

    Args:
        run: which program it is for.
        pool: what failures call the worker's pool.
        packed: the packed program, pickled; `None`: this process should have it.

    Returns:
        The outcome; `None`: the program has to be sent.
    """
    seat = _seats.get((run, threading.get_ident()))
    if seat is None:
        program = _load(run, packed)
        if program is None:
            return None
        setups = WorkerSetups(program, _label(pool))
        setups.open()
        seat = _sit_down(run, _Seat(Evaluator(program, _label(pool)), setups))
    outcome: Outcome = seat.evaluator.run(Task.from_wire(pickle.loads(data)))
    return pickle.dumps(outcome.to_wire(), 5)


def _load(run: str, packed: bytes | None) -> Program | None:
    """Return the program of a run, whose settings hold in this thread; `None`: it has to be sent.

    It is loaded once in a process, whatever number of threads this has; in the runner it is there.
    """
    with _loading:
        program = _loaded.get(run)
        if program is not None:
            apply_state(program, whole=False)
        elif run in live:
            program = _loaded[run] = live[run]
            apply_state(program, whole=not is_runner())
        elif packed is not None:
            from papympi.workers.evaluation.loading import load_program  # threads do without

            program = _loaded[run] = load_program(pickle.loads(packed))
        return program


def greet() -> None:
    """Do nothing: that it is done shows that the process has started and has imported what it needs."""


def leave(run: str) -> None:
    """Close what this process has of a run."""
    live.pop(run, None)
    _loaded.pop(run, None)
    for place in [place for place in _seats if place[0] == run]:
        _seats.pop(place).leave()


def _sit_down(run: str, seat: _Seat) -> _Seat:
    if not _seats:
        _close_at_exit()
    runs = list(dict.fromkeys(known for known, _ in _seats))
    for old in runs[: max(len(runs) - _RUNS_KEPT + 1, 0)] if run not in runs else ():
        leave(old)
    _seats[run, threading.get_ident()] = seat
    return seat


def _close_at_exit() -> None:
    """See that resources are taken down when the process ends, by whichever of its exits."""
    atexit.unregister(_close_all)
    atexit.register(_close_all)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:  # its children end without atexit
        util.Finalize(None, _close_all, exitpriority=10)


def _close_all() -> None:
    """Let go of everything; in a process of its own also of what the user's script holds open."""
    for run in {run for run, _ in _seats}:
        leave(run)
    if not is_runner():
        leave_script()


def _label(pool: str) -> str:
    return f"{pool} {threading.current_thread().name} pid {os.getpid()} on {os.uname().nodename}"


def _begin_anew() -> None:
    global _loading  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _loading = threading.Lock()
    _seats.clear()
    _loaded.clear()


if hasattr(os, "register_at_fork"):  # a child is not the one to close what its parent has open
    os.register_at_fork(after_in_child=_begin_anew)
