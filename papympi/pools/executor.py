"""The one adapter: any `concurrent.futures.Executor` as a pool of one worker with many places."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Final

from papympi.contracts import Capabilities
from papympi.errors import ItemTimeout, PoolError, SetupError, WorkerLost
from papympi.model.telling import tell, tell_error
from papympi.plan.program import Program
from papympi.pools.executor_tasks import LocalTasks, RemoteTasks, shut_down
from papympi.transport.doorbell import Doorbell
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.evaluation.executor_worker import greet

_GRACE_S: Final = 5.0
"""How long `kill` waits for an executor that is at something."""
_FEW: Final = 3
"""So often an executor may break before it has brought anything home."""
_FOREIGN: Final = Capabilities(streams=False)


class ExecutorPool:
    """An executor as a pool; only its `submit` and `shutdown(wait=True)` are used.

    Threads share the runner's objects and its suspended generators. Other workers get their tasks pickled, and the
    program with the first task that comes to each of them. They cannot hold a generator between two tasks.

    An executor that breaks, or holds a batch that has had its time, is renewed if that is possible. What a broken one
    had is then tried one by one, so that it is known which batch did it.

    Args:
        slots: how many it runs at the same time.
        capabilities: what it can do; of a `ThreadPoolExecutor` it is known.
        owned: the executor ends with the pool.
        renew: makes another executor like it; `None`: there is only this one.
        end: ends an executor at once, whatever it is at; `None`: there is no way.
    """

    def __init__(
        self,
        name: str,
        executor: Executor,
        slots: int,
        capabilities: Capabilities = _FOREIGN,
        *,
        owned: bool = True,
        renew: Callable[[], Executor] | None = None,
        end: Callable[[Any], None] | None = None,
    ) -> None:
        if isinstance(executor, ThreadPoolExecutor):
            capabilities = replace(capabilities, shares_memory=True, streams=True)
        self.name = name
        self.notes: Sequence[str] = ()
        self.capabilities = capabilities
        self.concurrency, self.places = slots, 2 * slots
        self.workers: Sequence[str] = [f"{name} ({slots} slots of {type(executor).__name__})"]
        self._executor = executor
        self._owned = owned
        self._renew = renew
        self._end = end
        self._futures: dict[Future[Any], Task] = {}
        self._done: deque[Future[Any]] = deque()
        self._suspects: deque[Task] = deque()
        self._held: deque[Task] = deque()
        self._stuck = self._breaks = 0
        self._withdrawn = False
        self._unbegun: list[Task] = []
        self._greeting: Future[Any] | None = None
        self._broken: PoolError | None = None
        self._bell: Doorbell | None = None
        self._local: LocalTasks | None = None
        self._remote: RemoteTasks | None = None

    def open(self, program: Program) -> None:
        """Make the program ready for the executor's workers, which get it with their first task."""
        self._bell = Doorbell()
        if self.capabilities.shares_memory:
            self._local = LocalTasks(program, self.name)
        else:
            self._remote = RemoteTasks(program, self.name, self.concurrency)
            self._greet()

    def submit(self, worker: int, task: Task) -> None:  # noqa: ARG002 - there is one worker
        """Hand a task to the executor, or keep it while suspects are tried or while it would only wait there."""
        self._held.append(task)
        self._hand_over_held()

    def collect(self) -> list[Outcome | Lost]:
        """Return what has come home, and what was lost."""
        news: list[Outcome | Lost] = []
        if self._bell is None:
            return news
        self._bell.silence()
        while self._done and self._broken is None:
            future = self._done.popleft()
            if future is self._greeting:
                news += self._receive_greeting(future)
            elif future in self._futures:
                news += self._receive(future, self._futures.pop(future))
            elif self._local is not None:  # given up before it was done
                self._stuck -= 1
        news += [Outcome.of_unbegun(task.id) for task in self._unbegun]
        self._unbegun.clear()
        if self._broken is None:
            news += self._give_up()
            self._try_next()
        if self._broken is not None and not news:
            raise self._broken
        return news

    def withdraw(self) -> None:
        """Hand nothing over any more, and take back what the executor has not begun."""
        self._withdrawn = True
        self._cancel()
        self._unbegun += [task for task in (*self._suspects, *self._held) if task.kind is not Kind.DISCARD]
        self._suspects.clear()
        self._held.clear()

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when a batch is done."""
        return None if self._bell is None else self._bell.fileno()

    def deadline(self) -> float | None:
        """Return when the first item, or batch, has had its time."""
        tasks = self._local or self._remote
        return None if tasks is None else tasks.deadline()

    def close(self) -> None:
        """Wait for what the executor is at, then shut it down."""
        self._cancel()
        if self._owned:
            self._executor.shutdown(wait=True)
        else:
            wait(list(self._futures))
        self._let_go()

    def kill(self) -> None:
        """Cancel what has not begun; an executor that is still busy after some seconds is abandoned."""
        self._cancel()
        if self._owned:
            shut_down(self._executor, self._end, _GRACE_S if self._futures or self._stuck else None)
        self._let_go()

    def replace_thread(self, thread: int) -> None:  # noqa: ARG002 - threads that are somebody else's cannot be replaced
        """Note that a thread hangs in an item that was given up, and put another in its place if that is possible."""
        self._stuck += 1
        if self._stuck >= self.concurrency:
            self._broken = PoolError(
                f"pool {self.name!r}: all {self.concurrency} threads of the executor hang in items that have timed out;"
                " the backend threads has threads that are replaced, and processes has children that are killed"
            )

    def _hand_over(self, task: Task, *, again: bool = False) -> None:
        tasks = self._local or self._remote
        assert tasks is not None
        try:
            future = self._executor.submit(*tasks.prepare(task, again=again))
        except BrokenExecutor as error:
            self._break(error, [task])
            return
        except Exception as error:
            raise PoolError(f"pool {self.name!r}: the executor takes no more batches: {tell(error)}") from error
        self._futures[future] = task
        future.add_done_callback(self._ring)

    def _greet(self) -> None:
        """Let a fresh executor show that its workers have started, if anybody waits for their time-outs."""
        if self._remote is not None and self._remote.timed:
            try:
                self._greeting = self._executor.submit(greet)
            except Exception as error:
                raise PoolError(f"pool {self.name!r}: the executor takes no batches: {tell(error)}") from error
            self._greeting.add_done_callback(self._ring)

    def _ring(self, future: Future[Any]) -> None:
        """Tell the engine that a future is done; called from the executor's threads."""
        self._done.append(future)
        if self._bell is not None:
            self._bell.ring()

    def _fail(self, what: str, error: BaseException, way_out: str = "") -> list[Outcome | Lost]:
        """Note that the pool is of no use any longer; return the news that it still has."""
        self._broken = PoolError(f"pool {self.name!r}: the executor {what}: {tell_error(error)}{way_out}")
        self._broken.__cause__ = error
        return []

    def _receive_greeting(self, future: Future[Any]) -> list[Outcome | Lost]:
        """Note that the executor's workers have started, or that they could not."""
        self._greeting = None
        if not future.cancelled() and isinstance(error := future.exception(), BrokenExecutor):
            return self._break(error, [])
        if self._remote is not None:
            self._remote.note_start()
        return []

    def _receive(self, future: Future[Any], task: Task) -> list[Outcome | Lost]:
        """Return the outcome in a future that is done, if it has one."""
        tasks = self._local or self._remote
        if self._remote is not None:
            self._remote.note_end(task)
        if future.cancelled() or tasks is None:
            self._receive_cancelled(task)
            return []
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            return self._break(error, [task])
        if isinstance(error, SetupError):
            self._broken = error
            return []
        if error is not None:
            return self._fail("could not evaluate a batch", error)
        outcome = tasks.unpack(future.result())
        if outcome is None:
            self._hand_over(task, again=True)
            return []
        self._breaks = 0
        return [outcome] if task.kind is not Kind.DISCARD else []

    def _receive_cancelled(self, task: Task) -> None:
        """Note that a batch was cancelled: because nothing is to begin any more, else by somebody else."""
        if not self._withdrawn:
            self._broken = PoolError(f"pool {self.name!r}: a batch was cancelled, or its executor was shut down")
        elif task.kind is not Kind.DISCARD:
            self._unbegun.append(task)

    def _give_up(self) -> list[Outcome | Lost]:
        """Return what has had its time and is not waited for any longer."""
        news: list[Outcome | Lost] = []
        if self._local is not None:
            for lost, thread in self._local.give_up():
                future = next((future for future, task in self._futures.items() if task.id == lost.task), None)
                if future is not None:  # if it is done now, it is so because it was given up
                    del self._futures[future]
                    news.append(lost)
                    self.replace_thread(thread)
        elif self._remote is not None and (overdue := self._remote.find_overdue()):
            late = {task: ItemTimeout(seconds, self.workers[0], "given up") for task, seconds in overdue.items()}
            self._held.extendleft(task for task in reversed(list(self._futures.values())) if task.id not in late)
            if self._begin_again(next(iter(late.values()))):
                news += [Lost(0, error, task, single=True) for task, error in late.items()]
        return news

    def _break(self, error: BaseException, tasks: list[Task]) -> list[Outcome | Lost]:
        """Renew the executor; return the task that broke it if it was alone, else let each of them be tried alone."""
        tasks += self._futures.values()
        self._breaks += 1
        if self._breaks > _FEW + len(self._suspects) + len(tasks):
            self._renew = None
        if not self._begin_again(error):
            return []
        if len(tasks) > 1:
            self._suspects += tasks
            return []
        return [Lost(0, WorkerLost(self.workers[0], tell(error)), task.id, single=True) for task in tasks]

    def _begin_again(self, error: BaseException) -> bool:
        """Put another executor in the place of one that is of no use any longer; say whether that was possible."""
        self._futures.clear()
        if self._renew is None:
            self._fail("broke", error, "; a pool of processes survives the death of a worker")
            return False
        shut_down(self._executor, self._end, 0)
        self._executor = self._renew()
        if self._remote is not None:
            self._remote.forget_workers()
            self._greet()
        return True

    def _try_next(self) -> None:
        """Hand over the next suspect once the last one is home; when all are, what was kept meanwhile."""
        while self._suspects and not self._futures:
            self._hand_over(self._suspects.popleft())
        self._hand_over_held()

    def _hand_over_held(self) -> None:
        """Hand over what was kept, as much as there is use for."""
        most = self.concurrency if self._remote is not None and self._remote.timed else self.places
        while self._held and not self._suspects and self._broken is None and len(self._futures) < most:
            self._hand_over(self._held.popleft())

    def _cancel(self) -> None:
        for future in filter(None, [*self._futures, self._greeting]):
            future.cancel()

    def _let_go(self) -> None:
        for each in (self._futures, self._done, self._suspects, self._held):
            each.clear()
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        for tasks in (self._local, self._remote):
            if tasks is not None:
                tasks.close()
        self._local = self._remote = None
