"""Where an executor's workers keep their evaluators: threads of the runner, or processes nothing is known about."""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import threading
from typing import Final

from papympi.plan.program import Program
from papympi.script.prepare import prepare
from papympi.transport.ship import unpack_program
from papympi.transport.task import Outcome, Task
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.progress import ProgressRecord
from papympi.workers.evaluation.scatter import SuspendedScatter

_RUNS_KEPT: Final = 4

live: dict[str, Program] = {}
"""Programs that need not be sent to this process, by run: it opened their pool, or is a fork of the one that did."""

_evaluators: dict[tuple[str, int], Evaluator] = {}
"""By run and thread."""


class ThreadEvaluators(threading.local):
    """An evaluator for each thread that looks, closed when the thread ends.

    The threads share the runner's objects and the suspended generators.

    Attributes:
        evaluator: the calling thread's.
        progress: in which it says what it is at.
        label: what failures call it.
    """

    def __init__(self, program: Program, pool: str, generators: dict[int, SuspendedScatter]) -> None:
        self.progress = ProgressRecord()
        self.label = _label(pool)
        self._closing = _ClosingEvaluator(Evaluator(program, self.label, self.progress, generators, encodes=False))
        self.evaluator = self._closing.evaluator


class _ClosingEvaluator:
    """Closes an evaluator in the thread whose locals it is among, as these are cleared."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def __del__(self) -> None:
        self.evaluator.close()


def serve(run: str, pool: str, data: bytes, packed: bytes | None) -> bytes | None:
    """Evaluate a pickled task, in whatever process; return the pickled outcome.

    Args:
        run: which program it is for.
        pool: what failures call the worker's pool.
        packed: the packed program, pickled; `None`: this process should have it.

    Returns:
        The outcome; `None`: the program has to be sent.
    """
    evaluator = _evaluators.get((run, threading.get_ident()))
    if evaluator is None:
        program = live.get(run) or (unpack_program(pickle.loads(packed), prepare) if packed is not None else None)
        if program is None:
            return None
        evaluator = _sit_down(run, Evaluator(program, _label(pool)))
    outcome: Outcome = evaluator.run(Task.from_wire(pickle.loads(data)))
    return pickle.dumps(outcome.to_wire(), 5)


def greet() -> None:
    """Do nothing: that it is done shows that the process has started and has imported what it needs."""


def leave(run: str) -> None:
    """Close what this process has of a run."""
    live.pop(run, None)
    for place in [place for place in _evaluators if place[0] == run]:
        _evaluators.pop(place).close()


def _sit_down(run: str, evaluator: Evaluator) -> Evaluator:
    if not _evaluators:
        _close_at_exit()
    runs = list(dict.fromkeys(known for known, _ in _evaluators))
    for old in runs[: max(len(runs) - _RUNS_KEPT + 1, 0)] if run not in runs else ():
        leave(old)
    _evaluators[run, threading.get_ident()] = evaluator
    return evaluator


def _close_at_exit() -> None:
    """See that resources are taken down when the process ends, by whichever of its exits."""
    atexit.unregister(_close_all)
    atexit.register(_close_all)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:  # its children end without atexit
        util.Finalize(None, _close_all, exitpriority=10)


def _close_all() -> None:
    for run in {run for run, _ in _evaluators}:
        leave(run)


def _label(pool: str) -> str:
    return f"{pool} {threading.current_thread().name} pid {os.getpid()} on {os.uname().nodename}"


if hasattr(os, "register_at_fork"):  # a child is not the one to close what its parent has open
    os.register_at_fork(after_in_child=_evaluators.clear)
