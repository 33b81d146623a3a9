"""The pool of async functions: one thread with an event loop, in which thousands of items wait at the same time."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Final

from papympi.contracts import Backend, Capabilities
from papympi.errors import ItemTimeout, PoolError
from papympi.model.telling import tell_error
from papympi.plan.program import Program
from papympi.script.state import CallerContext
from papympi.transport.doorbell import Doorbell
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.evaluation.alarm import (
    MERCY_S,
    find_shortest_timeout,
    find_timeout,
    interrupt_thread,
    tell_abandoned,
)
from papympi.workers.evaluation.async_blocking import forget_loop
from papympi.workers.evaluation.async_call import end_loop
from papympi.workers.evaluation.async_evaluator import AwaitingEvaluator
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.evaluation.progress import ProgressRecord, ProgressSnapshot
from papympi.workers.evaluation.setups import WorkerSetups
from papympi.workers.host import check_count

if TYPE_CHECKING:
    import asyncio

CAPABILITIES: Final = Capabilities(shares_memory=True, streams=True, parallel=False)
_WORKERS: Final = 2000
_BACK_S: Final = 1.0
"""How long `kill` waits for one function that keeps the loop; a loop that gets on has much to do, and will end."""
_GRACE_S: Final = 15.0
"""How long `kill` waits for the end of a loop that nothing keeps; what is cancelled gets less than that."""

Send = Callable[["LoopThread", Outcome | BaseException], None]


class LoopThread:
    """A thread with an event loop that evaluates tasks.

    Args:
        room: how many items may wait at the same time.
        send: called in the thread with every outcome, or with what the evaluation broke of.
        caller: what its functions see of the thread that has opened the pool.

    Attributes:
        stages: by id of each task that it has, the number of its stage.
        record: what keeps the loop.
        halted: nothing is to begin any more.
    """

    def __init__(self, program: Program, label: str, room: int, send: Send, caller: CallerContext) -> None:
        import asyncio

        self.stages: dict[int, int] = {}
        self.record = ProgressRecord()
        self.halted = self._woken = False
        self._send = send
        self._caller, self._context = caller, Context()
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._evaluator = AwaitingEvaluator(program, label, self.record, room)
        self._batches: set[asyncio.Task[Outcome]] = set()
        self._inbox: deque[Task] = deque()
        self._state = "open"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=attempt, args=(self._work,), name=label, daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> None:
        """Begin a task soon."""
        if task.kind is not Kind.DISCARD:
            self.stages[task.id] = task.stage
        self._inbox.append(task)
        if not self._woken:  # once for many: it costs a system call, and the interpreter lock
            self._woken = True
            self._loop.call_soon_threadsafe(self._take)

    def close(self) -> None:
        """End once everything has come home, and wait for that."""
        self._loop.call_soon_threadsafe(self._drain)
        self._thread.join()

    def kill(self) -> None:
        """Cancel everything, and wait for that; a thread that is kept by what it calls is left behind."""
        self._evaluator.give_up()
        self._loop.call_soon_threadsafe(self._stop)
        end, kept_by = time.monotonic() + _GRACE_S, self.record.read()
        while not self._stopped.wait(_BACK_S):
            before, kept_by = kept_by, self.record.read()
            if (before == kept_by and kept_by.task is not None) or time.monotonic() > end:
                self.abandon()
                return
        self._thread.join(_GRACE_S)

    def abandon(self) -> TracebackType | None:
        """Leave a thread that is kept by what it calls, and give back the descriptors of its loop."""
        self._evaluator.give_up()
        self._state = "abandoned"
        self.record.programs.close()
        self._selector.close()
        for end in (getattr(self._loop, name, None) for name in ("_ssock", "_csock")):  # by these it would be woken
            if end is not None:
                end.close()
        return interrupt_thread(self._thread.ident or 0)

    def _work(self) -> None:
        self._context = self._caller.copy()
        self._context.run(self._serve)

    def _serve(self) -> None:
        self.record.programs.claim_thread()
        while self._state in {"open", "draining"}:
            attempt(self._loop.run_forever)  # a task of the user's that ends in SystemExit stops it, too
        self._stopped.set()
        if self._state == "abandoned":
            forget_loop(self._loop)
        else:
            end_loop(self._loop, attempt, self._evaluator.clean_up)
        self._evaluator.close()

    def _take(self) -> None:
        self._woken = False
        while self._inbox and self._state in {"open", "draining"}:
            batch = self._loop.create_task(self._evaluate(self._inbox.popleft()), context=self._context.copy())
            self._batches.add(batch)
            batch.add_done_callback(self._end)

    async def _evaluate(self, task: Task) -> Outcome:
        """Evaluate a task, unless nothing is to begin any more."""
        begins = not self.halted or task.kind is Kind.DISCARD
        return await self._evaluator.evaluate(task) if begins else Outcome.of_unbegun(task.id)

    def _end(self, batch: asyncio.Task[Outcome]) -> None:
        self._batches.discard(batch)
        if not batch.cancelled():
            error = batch.exception()
            self._send(self, batch.result() if error is None else error)
        if self._state == "draining":
            self._drain()

    def _drain(self) -> None:
        self._state = "draining"
        if not self._batches:
            self._stop()

    def _stop(self) -> None:
        if self._state != "abandoned":
            self._state = "stopped"
        self._loop.stop()


class AsyncioPool:
    """One thread with an event loop. Plain functions are called in it, and keep everything else waiting.

    Args:
        workers: how many items may wait at the same time.
    """

    capabilities = CAPABILITIES

    def __init__(self, name: str, workers: int = _WORKERS) -> None:
        self.name = name
        self.concurrency = self.places = check_count(name, "workers", workers)
        self.workers: Sequence[str] = [f"{name} event loop pid {os.getpid()} on {socket.gethostname()}"]
        self._program = Program()
        self._shortest = 0.0
        self.notes: list[str] = []
        self._given_up = 0
        self._bell: Doorbell | None = None
        self._setups: WorkerSetups | None = None
        self._caller = CallerContext()
        self._thread: LoopThread | None = None
        self._arrived: deque[tuple[LoopThread, Outcome | BaseException]] = deque()

    def open(self, program: Program) -> None:
        """Make ready; the thread is started with the first task."""
        self._program = program
        self._bell = Doorbell()
        self._shortest = find_shortest_timeout(program)
        self._setups = WorkerSetups(program, self.workers[0], shares=True)
        self._setups.open()
        self._caller = CallerContext()

    def submit(self, worker: int, task: Task) -> None:  # noqa: ARG002 - there is one worker
        """Hand a task to the loop."""
        if self._thread is None:
            self._thread = LoopThread(self._program, self.workers[0], self.places, self._take_home, self._caller)
        self._thread.submit(task)

    def collect(self) -> list[Outcome | Lost]:
        """Return what has come home; a loop that an item has kept for too long is replaced."""
        if self._bell is None or self._thread is None:
            return []
        self._bell.silence()
        news: list[Outcome | Lost] = list(self._take(self._thread))
        if self._shortest:
            news += self._replace_overdue(self._thread)
        return news

    def withdraw(self) -> None:
        """Begin nothing more; thousands of items may wait to begin behind one that keeps the loop."""
        if self._thread is not None:
            self._thread.halted = True

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when a batch is done."""
        return None if self._bell is None else self._bell.fileno()

    def deadline(self) -> float | None:
        """Return when `collect` has to look whether an item keeps the loop."""
        if not self._shortest or self._thread is None or not self._thread.stages:
            return None
        timeout, end = self._timeout_of(self._thread, self._thread.record.read())
        return end if timeout else time.monotonic() + self._shortest + MERCY_S

    def close(self) -> None:
        """Wait for what the loop has, then end it."""
        if self._thread is not None:
            self._thread.close()
        self._let_go()

    def kill(self) -> None:
        """Cancel what the loop has, and end it; a thread that an item keeps is abandoned."""
        if self._thread is not None:
            self._thread.kill()
        self._let_go()

    def _take_home(self, thread: LoopThread, arrival: Outcome | BaseException) -> None:
        """Keep what a loop has made until it is collected; called in the loop's thread."""
        self._arrived.append((thread, arrival))
        if (bell := self._bell) is not None:
            bell.ring()

    def _take(self, thread: LoopThread) -> list[Outcome]:
        """Return the outcomes that have come from a thread; those of others are repeated already."""
        outcomes = []
        while self._arrived:
            sender, arrival = self._arrived.popleft()
            if sender is not thread:
                continue
            if isinstance(arrival, BaseException):
                what = tell_error(arrival)
                raise PoolError(f"pool {self.name!r}: a batch could not be evaluated: {what}") from arrival
            if thread.stages.pop(arrival.task, None) is not None:
                outcomes.append(arrival)
        return outcomes

    def _replace_overdue(self, thread: LoopThread) -> list[Outcome | Lost]:
        """Put a fresh thread in the place of one that an item has kept beyond its time-out."""
        progress = thread.record.read()
        timeout, end = self._timeout_of(thread, progress)
        if time.monotonic() < end:
            return []
        trace = thread.abandon()
        self._given_up += 1
        self.notes = [tell_abandoned(self.name, self._given_up)]
        outcomes = self._take(thread)
        self._thread = None
        lost = Lost(0, ItemTimeout(timeout, self.workers[0], "abandoned and replaced").with_traceback(trace))
        if progress.task in thread.stages and progress.node is not None:
            lost.task = progress.task
            progress.tell_place(lost, self._program.stages[thread.stages[progress.task]])
        return [*outcomes, lost]

    def _timeout_of(self, thread: LoopThread, progress: ProgressSnapshot) -> tuple[float, float]:
        """Return the time-out of what keeps a loop, in seconds, and when that has had it."""
        stage = None if progress.task is None else thread.stages.get(progress.task)
        return find_timeout(self._program, stage, progress)

    def _let_go(self) -> None:
        self._thread = None
        self._arrived.clear()
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        if self._setups is not None:
            self._setups.close()
            self._setups = None


BACKEND: Final = Backend(
    make=AsyncioPool,
    summary="an event loop for async functions (option workers: how many items wait at once)",
    capabilities=CAPABILITIES,
)
