"""The pool that is the runner itself: for glue, and for debugging with pdb."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from papympi.contracts import Backend, Capabilities
from papympi.plan.program import Program
from papympi.transport.doorbell import Doorbell
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.setups import WorkerSetups

CAPABILITIES: Final = Capabilities(shares_memory=True, streams=True, holds_up=True, parallel=False)


class InlinePool:
    """Evaluates one batch in each `collect`, in whichever thread calls it."""

    capabilities = CAPABILITIES
    notes: Sequence[str] = ()
    concurrency = 1
    places = 1

    def __init__(self, name: str) -> None:
        self.name = name
        self.workers: Sequence[str] = [f"{name} pid {os.getpid()} on {socket.gethostname()}"]
        self._queue: deque[Task] = deque()
        self._bell: Doorbell | None = None
        self._evaluator: Evaluator | None = None
        self._setups: WorkerSetups | None = None
        self._withdrawn = False

    def open(self, program: Program) -> None:
        """Make ready to call the program's functions."""
        self._bell = Doorbell()
        self._evaluator = Evaluator(program, self.workers[0], encodes=False, interruptible=True)
        self._setups = WorkerSetups(program, self.workers[0], shares=True)
        self._setups.open()

    def submit(self, worker: int, task: Task) -> None:  # noqa: ARG002 - there is one worker
        """Queue a task."""
        assert self._bell is not None
        self._queue.append(task)
        self._bell.ring()

    def collect(self) -> list[Outcome | Lost]:
        """Evaluate one task and return its outcome."""
        if self._evaluator is None or self._bell is None:
            return []
        news: list[Outcome | Lost] = []
        while self._queue and not news:
            task = self._queue[0]
            unbegun = self._withdrawn and task.kind is not Kind.DISCARD
            outcome = Outcome.of_unbegun(task.id) if unbegun else self._evaluator.run(task)
            if task.kind is not Kind.DISCARD:
                news.append(outcome)
            self._queue.popleft()  # only now: after Ctrl-C the task is still to be done
        if not self._queue:
            self._bell.silence()
        return news

    def withdraw(self) -> None:
        """Begin nothing more."""
        self._withdrawn = True

    def fileno(self) -> int | None:
        """Return a descriptor that is readable while a task is queued."""
        return None if self._bell is None else self._bell.fileno()

    def deadline(self) -> float | None:
        """Return `None`: time-outs are looked after where the functions are called."""
        return None

    def close(self) -> None:
        """Take resources down and forget what is queued."""
        self._queue.clear()
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None
        if self._setups is not None:
            self._setups.close()
            self._setups = None
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def kill(self) -> None:
        """Do the same."""
        self.close()


BACKEND: Final = Backend(
    make=InlinePool,
    summary="the runner itself, one batch at a time; for glue and debugging",
    capabilities=CAPABILITIES,
)
