"""The setups of a worker process: each is called once in it, however many workers it has, before their first items."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from papympi.errors import SetupError
from papympi.model.tracebacks import tell_traceback
from papympi.plan.program import Program, ResourceSpec
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.evaluation.capture import OutputCapture
from papympi.workers.evaluation.context import Resources
from papympi.workers.evaluation.location import FixedLocation
from papympi.workers.evaluation.progress import ProgressRecord
from papympi.workers.evaluation.recorder import OutputRecorder


@dataclass(slots=True)
class _SharedSetup:
    """A setup that was called in this process, what tears it down, and how many workers have it."""

    spec: ResourceSpec
    made: Resources
    users: int = 0


_shared: Final[dict[int, _SharedSetup]] = {}
"""By id of the spec, which all workers that one run has in this process have from one program."""
_inherited: Final[list[_SharedSetup]] = []
"""Those of the process that this one was forked from: to forget them would tear them down here."""
_lock = threading.RLock()


class WorkerSetups:
    """The setups of a program, as one worker asks for them.

    Args:
        label: what messages call the worker.
        recorder: takes what they print and log; default: one that shows it.
        progress: where to say what is at work.
        shares: the worker is in the runner's process.
    """

    def __init__(
        self,
        program: Program,
        label: str,
        recorder: OutputRecorder | None = None,
        progress: ProgressRecord | None = None,
        *,
        shares: bool = False,
    ) -> None:
        self._specs = program.setups
        self._label = label
        self._slots = (progress or ProgressRecord()).slots
        self._capture = OutputCapture(label, recorder, shares=shares, raw=False) if program.setups else None
        heard = self._capture.recorder if self._capture is not None else None
        self._outside = FixedLocation(heard, program.seed, "", None)
        self._taken: list[_SharedSetup] = []

    def open(self) -> None:
        """Call those that have not been called in this process, in their order.

        Raises:
            SetupError: one of them has raised; those before it are torn down.
        """
        with ExitStack() as undo:
            undo.callback(self.close)
            for spec in self._specs:
                with _lock:
                    shared = _shared.get(id(spec))
                    if shared is None:
                        _shared[id(spec)] = shared = self._call(spec)
                    shared.users += 1
                    self._taken.append(shared)
            undo.pop_all()
        if self._capture is not None:
            self._capture.recorder.close()  # shows what nobody takes home

    def close(self) -> None:
        """Tear down those that nobody has any more, the last first; what goes wrong is logged."""
        while self._taken:
            with _lock:
                shared = self._taken.pop()
                shared.users -= 1
                if not shared.users:
                    _shared.pop(id(shared.spec), None)
                    shared.made.close()
        if self._capture is not None:
            self._capture.close()

    def _call(self, spec: ResourceSpec) -> _SharedSetup:
        """Call a setup."""
        made = Resources(attempt, self._slots, self._outside, "setup")
        _, error = made.take(spec)
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is not None:
            text = tell_traceback(error, spec.function)
            raise SetupError(spec.name, self._label, text)
        return _SharedSetup(spec, made)


def _leave_inherited() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _inherited.extend(_shared.values())
    _shared.clear()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_inherited)
