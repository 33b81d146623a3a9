"""Where an executor's tasks are put into its words, and where the runner sees how long they take."""

from __future__ import annotations

import pickle
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, NamedTuple

from papympi.errors import ItemTimeout
from papympi.plan.program import Program
from papympi.script.state import CallerContext
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.evaluation.alarm import find_shortest_timeout, find_timeout, interrupt_thread, standstill
from papympi.workers.evaluation.executor_worker import ThreadEvaluators, leave, live, serve
from papympi.workers.evaluation.progress import ProgressRecord
from papympi.workers.evaluation.scatter import SuspendedScatter
from papympi.workers.evaluation.setups import WorkerSetups

_RETURN_S: Final = 2.0
"""How long after the time-outs of a task a process that nothing is known about is left to bring it home, at least."""
_RETURN_STARTS: Final = 2.0
"""So many times as long as the first process took to start: others may start later, and the host may be busy."""


class _RunningTask(NamedTuple):
    """A task at work in a thread: what the thread says that it is at, who it is, its label, and the stage."""

    record: ProgressRecord
    thread: int
    label: str
    stage: int


class LocalTasks:
    """Tasks for threads of this process, which say in a record each what they are at."""

    def __init__(self, program: Program, pool: str) -> None:
        self._program = program
        self._generators: dict[int, SuspendedScatter] = {}
        self._setups = WorkerSetups(program, pool, shares=True)
        self._setups.open()
        self._evaluators = ThreadEvaluators(program, pool, self._generators, CallerContext())
        self._running: dict[int, _RunningTask] = {}
        self._leaving = threading.Lock()
        self._shortest = find_shortest_timeout(program)

    def prepare(self, task: Task, *, again: bool = False) -> tuple[Any, ...]:  # noqa: ARG002 - never done again
        """Return what to submit."""
        return self._run, task

    def unpack(self, result: Any) -> Outcome | None:
        """Return the outcome."""
        outcome: Outcome = result
        return outcome

    def deadline(self) -> float | None:
        """Return when a thread has to be looked at again, by `time.monotonic`."""
        if not self._shortest or not self._running:
            return None
        now = time.monotonic()
        return min((self._deadline_of(running, now) for running in list(self._running.values())), default=None)

    def give_up(self) -> list[tuple[Lost, int]]:
        """Give up the threads whose item has had its time: return what is lost of each, and the thread."""
        if not self._shortest:
            return []
        now, lost = time.monotonic(), []
        for number, running in list(self._running.items()):
            progress = running.record.read()
            seconds, end = find_timeout(self._program, running.stage, progress)
            if end <= now:
                with self._leaving:  # a thread that is out of its task by now is not to be interrupted in another one
                    if self._running.pop(number, None) is None:
                        continue
                    trace = interrupt_thread(running.thread)
                news = Lost(0, ItemTimeout(seconds, running.label, "abandoned"), number, single=True)
                progress.tell_place(news, self._program.stages[running.stage])
                lost.append((news, running.thread))
                running.record.programs.end_since(progress.begun_ns or 0)  # who waits for them is interrupted
                running.record.programs.close()
                news.error.__traceback__ = trace
        return lost

    def close(self) -> None:
        """Close the generators that stand suspended, tear down the setups, end the programs of threads that go on."""
        for running in list(self._running.values()):
            running.record.programs.close()
        while self._generators:
            self._generators.popitem()[1].close()
        self._setups.close()

    def _deadline_of(self, running: _RunningTask, now: float) -> float:
        """Return when the item that a thread is at has had its time; if it has none, when to look again."""
        timeout, end = find_timeout(self._program, running.stage, running.record.read())
        return end if timeout else now + self._shortest

    def _run(self, task: Task) -> Outcome:
        if task.kind is not Kind.DISCARD:
            self._running[task.id] = _RunningTask(
                self._evaluators.progress,
                threading.get_ident(),
                self._evaluators.label,
                task.stage,
            )
        try:
            return self._evaluators.context.run(self._evaluators.evaluator.run, task)
        finally:
            with self._leaving:
                self._running.pop(task.id, None)


class RemoteTasks:
    """Tasks for processes that nothing is known about, but when they got a task and when they brought it home.

    Attributes:
        timed: some node has a time-out, so a task is handed over only when a process is free for it.
    """

    def __init__(self, program: Program, pool: str, slots: int) -> None:
        from papympi.transport.ship import pack_program  # threads do without

        self._run = uuid.uuid4().hex
        self._pool = pool
        self._program = program
        self._packed = pickle.dumps(pack_program(program), 5)
        self._slots = slots
        self._attached = slots
        self._budgets: dict[int, tuple[float, float]] = {}
        self._asked = time.monotonic()
        self._started: float | None = None
        self._return_s = _RETURN_S
        self.timed = find_shortest_timeout(program) > 0
        live[self._run] = program

    def prepare(self, task: Task, *, again: bool = False) -> tuple[Any, ...]:
        """Return what to submit; the first tasks, and those that come again, bring the program."""
        packed = self._packed if again or self._attached > 0 else None
        self._attached -= 1
        budget = self._find_budget(task)
        if budget is not None:
            self._budgets[task.id] = time.monotonic(), budget
        return serve, self._run, self._pool, pickle.dumps(task.to_wire(), 5), packed

    def unpack(self, result: Any) -> Outcome | None:
        """Return the outcome; `None`: the program has to come along."""
        return None if result is None else Outcome.from_wire(pickle.loads(result))

    def note_start(self) -> None:
        """Note that the processes have started: time-outs count from here."""
        self._started = time.monotonic()
        self._return_s = _RETURN_S + _RETURN_STARTS * (self._started - self._asked)

    def note_end(self, task: Task) -> None:
        """Note that a task is not waited for any longer."""
        self._budgets.pop(task.id, None)

    def forget_workers(self) -> None:
        """Let the next tasks bring the program, since there are other workers now, which have not started yet."""
        self._attached = self._slots
        self._budgets.clear()
        self._asked, self._started = time.monotonic(), None

    def deadline(self) -> float | None:
        """Return when the first of the tasks has had its time, by `time.monotonic`; `None`: nobody can say."""
        return min((self._deadline_of(task) for task in self._budgets), default=None) if self._started else None

    def find_overdue(self) -> dict[int, float]:
        """Return the tasks that have had their time, by their ids, and how long that was, in seconds."""
        now = time.monotonic()
        late = [task for task in self._budgets if self._started and self._deadline_of(task) <= now]
        return {task: self._budgets[task][1] for task in late}

    def close(self) -> None:
        """Let go of the program."""
        leave(self._run)

    def _deadline_of(self, task: int) -> float:
        handed, budget = self._budgets[task]
        begun = max(handed, self._started or 0.0)
        return begun + budget + self._return_s + standstill.count_since(begun)

    def _find_budget(self, task: Task) -> float | None:
        """Return how long a task may take at most, in seconds; `None`: as long as it likes."""
        stage = self._program.stages[task.stage]
        timeouts = [call.timeout for call in stage.calls if call.timeout]
        if stage.kind == "scatter" or len(timeouts) < len(stage.calls):
            return None
        return sum(timeouts) * task.count


def shut_down(executor: Executor, end: Callable[[Any], None] | None, patience_s: float | None) -> None:
    """End an executor, by `end` if there is such a thing; after so many seconds it is left alone."""
    if end is not None:
        end(executor)
    elif patience_s is None:
        executor.shutdown(wait=True)
    else:
        ending = threading.Thread(target=executor.shutdown, name="papympi-end-of-executor", daemon=True)
        ending.start()
        ending.join(patience_s)
