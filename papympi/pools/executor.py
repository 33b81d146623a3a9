"""The one adapter: any `concurrent.futures.Executor` as a pool of one worker with many places."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Final

from papympi.contracts import Capabilities
from papympi.errors import PoolError
from papympi.plan.program import Program
from papympi.transport.ship import pack_program
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.scatter import Suspended
from papympi.workers.seats import Seats, leave, live, serve

_GRACE_S: Final = 5.0
"""How long `kill` waits for an executor that is at something."""
_FOREIGN: Final = Capabilities(streams=False)


class Doorbell:
    """A descriptor that becomes readable when any thread rings."""

    def __init__(self) -> None:
        self._receive, self._send = socket.socketpair()
        self._receive.settimeout(0)
        self._send.settimeout(0)
        self._rung = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._receive.fileno()

    def ring(self) -> None:
        """Make the descriptor readable."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):  # closed: nobody waits any more
                self._send.send(b"!")

    def silence(self) -> None:
        """Make the descriptor unreadable; to be called before looking at what it rang for."""
        if self._rung:
            self._rung = False
            with contextlib.suppress(BlockingIOError):
                self._receive.recv(64)

    def close(self) -> None:
        """Give the descriptor back."""
        self._receive.close()
        self._send.close()


class ExecutorPool:
    """An executor as a pool; only its `submit` and `shutdown(wait=True)` are used.

    Threads share the runner's objects and its suspended generators. Other workers get their tasks pickled, and the
    program with the first task that comes to each of them. They cannot hold a generator between two tasks.

    Args:
        name: the pool's name.
        executor: runs the batches.
        slots: how many it runs at the same time.
        capabilities: what it can do; of a `ThreadPoolExecutor` it is known.
        owned: the executor ends with the pool.
    """

    def __init__(
        self,
        name: str,
        executor: Executor,
        slots: int,
        capabilities: Capabilities = _FOREIGN,
        *,
        owned: bool = True,
    ) -> None:
        if isinstance(executor, ThreadPoolExecutor):
            capabilities = replace(capabilities, shares_memory=True, streams=True, roams=True)
        self.name = name
        self.capabilities = capabilities
        self.concurrency = slots
        self.places = 2 * slots
        self.workers: Sequence[str] = [f"{name} ({slots} slots of {type(executor).__name__})"]
        self._executor = executor
        self._owned = owned
        self._futures: dict[Future[Any], Task] = {}
        self._done: deque[Future[Any]] = deque()
        self._broken: PoolError | None = None
        self._bell: Doorbell | None = None
        self._desk: _Local | _Remote | None = None

    def open(self, program: Program) -> None:
        """Make the program ready for the executor's workers, which get it with their first task."""
        self._bell = Doorbell()
        if self.capabilities.shares_memory:
            self._desk = _Local(program, self.name)
        else:
            self._desk = _Remote(program, self.name, self.concurrency)

    def submit(self, worker: int, task: Task) -> None:  # noqa: ARG002 - there is one worker
        """Hand a task to the executor.

        Raises:
            PoolError: the executor refuses it.
        """
        assert self._desk is not None
        self._hand_over(task, self._desk.prepare(task))

    def collect(self) -> list[Outcome | Lost]:
        """Return what has come home.

        Raises:
            PoolError: the executor broke.
        """
        news: list[Outcome | Lost] = []
        if self._bell is None:
            return news
        self._bell.silence()
        while self._done and self._broken is None:
            future = self._done.popleft()
            task = self._futures.pop(future)
            outcome = self._receive(future, task)
            if outcome is not None and task.kind is not Kind.DISCARD:
                news.append(outcome)
        if self._broken is not None and not news:
            raise self._broken
        return news

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when a batch is done."""
        return None if self._bell is None else self._bell.fileno()

    def deadline(self) -> float | None:
        """Return `None`: time-outs are looked after where the functions are called."""
        return None

    def close(self) -> None:
        """Wait for what the executor is at, then shut it down."""
        for future in list(self._futures):
            future.cancel()
        if self._owned:
            self._executor.shutdown(wait=True)
        else:
            wait(list(self._futures))
        self._let_go()

    def kill(self) -> None:
        """Cancel what has not begun; an executor that is still busy after some seconds is abandoned."""
        for future in list(self._futures):
            future.cancel()
        if self._owned and self._futures:
            ending = threading.Thread(target=self._executor.shutdown, name=f"end of {self.name}", daemon=True)
            ending.start()
            ending.join(_GRACE_S)
        elif self._owned:
            self._executor.shutdown(wait=True)
        self._let_go()

    def _hand_over(self, task: Task, job: tuple[Any, ...]) -> None:
        try:
            future = self._executor.submit(*job)
        except Exception as error:
            raise PoolError(f"pool {self.name!r}: the executor takes no more batches: {error}") from error
        self._futures[future] = task
        future.add_done_callback(self._ring)

    def _ring(self, future: Future[Any]) -> None:
        """Tell the engine that a future is done; called from the executor's threads."""
        self._done.append(future)
        if self._bell is not None:
            self._bell.ring()

    def _receive(self, future: Future[Any], task: Task) -> Outcome | None:
        """Return the outcome in a future that is done; `None`: there is none, or its task is on its way again."""
        assert self._desk is not None
        if future.cancelled():
            return None
        error = future.exception()
        if error is not None:
            kind = "broke" if isinstance(error, BrokenExecutor) else "could not evaluate a batch"
            text = f"pool {self.name!r}: the executor {kind}: {type(error).__name__}: {error}"
            self._broken = PoolError(f"{text}; a pool of processes survives the death of a worker")
            self._broken.__cause__ = error
            return None
        outcome = self._desk.unpack(future.result())
        if outcome is None:
            self._hand_over(task, self._desk.prepare(task, again=True))
        return outcome

    def _let_go(self) -> None:
        self._futures.clear()
        self._done.clear()
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        if self._desk is not None:
            self._desk.close()
            self._desk = None


class _Local:
    """Tasks for threads of this process."""

    def __init__(self, program: Program, pool: str) -> None:
        self._generators: dict[int, Suspended] = {}
        self._seats = Seats(program, pool, self._generators)

    def prepare(self, task: Task, *, again: bool = False) -> tuple[Any, ...]:  # noqa: ARG002 - never done again
        """Return what to submit."""
        return self._run, task

    def unpack(self, result: Any) -> Outcome | None:
        """Return the outcome."""
        outcome: Outcome = result
        return outcome

    def close(self) -> None:
        """Close the generators that stand suspended."""
        while self._generators:
            self._generators.popitem()[1].close()

    def _run(self, task: Task) -> Outcome:
        return self._seats.evaluator.run(task)


class _Remote:
    """Tasks for processes that nothing is known about."""

    def __init__(self, program: Program, pool: str, slots: int) -> None:
        self._run = uuid.uuid4().hex
        self._pool = pool
        self._packed = pack_program(program)
        self._attached = slots
        live[self._run] = program

    def prepare(self, task: Task, *, again: bool = False) -> tuple[Any, ...]:
        """Return what to submit; the first tasks, and those that come again, bring the program."""
        packed = self._packed if again or self._attached > 0 else None
        self._attached -= 1
        return serve, self._run, self._pool, pickle.dumps(task.to_wire(), 5), packed

    def unpack(self, result: Any) -> Outcome | None:
        """Return the outcome; `None`: the program has to come along."""
        return None if result is None else Outcome.from_wire(pickle.loads(result))

    def close(self) -> None:
        """Let go of the program."""
        leave(self._run)
