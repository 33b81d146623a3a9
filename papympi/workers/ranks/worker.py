"""What a rank but the first does: it serves one pool after the other, by itself or through children that it has."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from pickle import PickleBuffer
from typing import Final

from papympi.errors import PoolError, SetupError, ShippingError
from papympi.model.tracebacks import tell_traceback
from papympi.transport.arena import LEAST
from papympi.transport.doorbell import Backoff, wait_readable
from papympi.transport.packed import Packed, PackedFile, map_packed
from papympi.transport.records import Logs
from papympi.transport.sealed import SealedOutcome, SealedTask
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.children.citizen import be_trusted
from papympi.workers.children.client import ForkServerClient
from papympi.workers.children.supervisor import Supervisor
from papympi.workers.cpus import find_room, tell_crowd
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.loading import load_program
from papympi.workers.evaluation.setups import WorkerSetups
from papympi.workers.host import share_memory
from papympi.workers.ranks import messages
from papympi.workers.ranks.messages import Answer, Isolation, OpenProgram, Order, from_parts, to_parts
from papympi.workers.ranks.world import World

_GRACE_S: Final = 4.0
"""How long children may take to finish what they are at; less than a rank may take to say goodbye."""
_BRIEF_S: Final = 20e-6
"""How long to sleep while children are at work and a message is on its way."""
_SHORT_S: Final = 50e-6
"""The shortest sleep while children are at work: the processor is theirs."""
_LONG_S: Final = 2e-3
"""The longest sleep, also while every child has a task at hand, so that only a child can have something to say."""
_SHARE: Final = 0.25
"""The shortest sleep as a share of the time from one outcome to the next."""
_LEARNS: Final = 0.2
"""How much the last time counts in the average."""
_LAUNCHER_FIRST_S: Final = 3.0
_FLUSH: Final = 0.05
"""How long a rank helps big outcomes on their way before its next task: at most this part of what the last took."""


class _OwnEvaluator:
    """The rank evaluates itself: each task is answered at once.

    Args:
        packed: the program. Its big constants are used where they lie, and seen there by other ranks of this host.
        label: how messages name the rank.
    """

    def __init__(self, packed: Packed, label: str) -> None:
        self._packed = packed if packed.size < LEAST else packed.store()
        self.find_program = self._packed.find_file
        try:
            file = self._packed.file
            program = load_program(self._packed if file is None else map_packed(os.dup(file)))
            self._setups = WorkerSetups(program, label)
            self._setups.open()
        except BaseException:
            self._packed.close()
            raise
        self._evaluator = Evaluator(program, label)
        self._withdrawn = False

    def evaluate(self, order: messages.EvaluateTask) -> list[Answer]:
        """Evaluate a task and return the answer to it; there is none to a DISCARD."""
        task = Task.from_wire(order.wire)
        begins = not self._withdrawn or task.kind is Kind.DISCARD
        outcome = self._evaluator.run(task) if begins else Outcome.of_unbegun(task.id)
        return [] if task.kind is Kind.DISCARD else [messages.TaskEvaluated(outcome.to_wire())]

    def withdraw(self) -> None:
        """Begin nothing more."""
        self._withdrawn = True

    def close(self, _grace: float) -> None:
        self._evaluator.close()
        self._setups.close()
        self._packed.close()


class _Children(Supervisor):
    """The rank's children evaluate; it hands tasks and outcomes on without opening them."""

    def __init__(self, fork_server: ForkServerClient, packed: Packed, order: OpenProgram, isolation: Isolation) -> None:
        fork_server.owner, fork_server.cpus = isolation.pool, find_room(len(isolation.names))
        self._fork_server = fork_server
        shared, renewal = share_memory(isolation.shared) // isolation.sharers, isolation.renewal
        super().__init__(fork_server, isolation.names, isolation.memory, lasting=True, shared=shared, renewal=renewal)
        self._room = 2 * len(isolation.names)
        self.tasks: dict[int, int] = {}  # that are at work, each with its child
        self._deaths = [0] * len(isolation.names)
        self._last, self._pace = time.monotonic(), 0.0
        preparation = isolation.outline.preparation
        if preparation is not None and not (order.door and fork_server.join(order.door)):
            fork_server.load(preparation)
        self.start(isolation.outline, packed, order.secret)

    def choose_pause(self, length: float) -> float:
        """Return how long to wait for children that are at work, in seconds, if `length` would be due otherwise.

        A task that comes while its child is at another one is in no hurry: a few looks for each outcome are enough.
        """
        if len(self.tasks) >= self._room:
            return _LONG_S
        return min(max(length, _SHORT_S, _SHARE * self._pace), _LONG_S)

    def forward(self, order: messages.ForwardTask) -> None:
        """Hand a task to its child."""
        if order.deaths != self._deaths[order.child]:
            return  # it was for a child that has died meanwhile: rank 0 will send it again when it hears of that
        task = SealedTask(order.task, Kind(order.kind), order.stage, keys=list(order.keys), parts=order.parts)
        if task.kind is not Kind.DISCARD:
            self.tasks[order.task] = order.child
        self.submit(order.child, task)

    def take_answers(self) -> list[Answer]:
        """Return what the children have to say."""
        answers: list[Answer] = []
        for news in self.collect():
            if isinstance(news, Lost):
                self._deaths[news.worker] += 1
                self.tasks = {task: child for task, child in self.tasks.items() if child != news.worker}
                answers.append(messages.ChildLost(news))
            elif isinstance(news, SealedOutcome):
                self.tasks.pop(news.task, None)
                now = time.monotonic()
                self._last, self._pace = now, self._pace + _LEARNS * (now - self._last - self._pace)
                if news.logs is not None:
                    answers.append(messages.LogsForwarded(news.logs))
                answers.append(messages.OutcomeForwarded([PickleBuffer(part) for part in news.parts]))
            elif isinstance(news, Logs):
                answers.append(messages.LogsForwarded(news))
        return answers


class RankWorker:
    """One rank at work.

    Args:
        fork_server: where its children come from; `None`: it can have none.
    """

    def __init__(self, fork_server: ForkServerClient | None = None) -> None:
        self._fork_server = fork_server
        self._served: _OwnEvaluator | _Children | None = None

    def handle(self, order: Order) -> list[Answer]:
        """Do what an order says and return the answers that there are by now."""
        if isinstance(order, messages.ForwardTask):
            if isinstance(self._served, _Children):  # if not, they failed, which was told
                self._served.forward(order)
            return []
        if isinstance(order, messages.EvaluateTask):
            return self._served.evaluate(order) if isinstance(self._served, _OwnEvaluator) else []
        if isinstance(order, messages.BeginNothing):
            if self._served is not None:
                self._served.withdraw()
            return []
        if isinstance(order, OpenProgram):
            return [self._open(order)]
        assert not isinstance(order, messages.ServeExecutor)  # that is for who serves with it
        self._close(0.0 if order.hasty else _GRACE_S)
        return [messages.PoolClosed() if isinstance(order, messages.ClosePool) else messages.RankLeft()]

    def collect(self) -> list[Answer]:
        """Return what children have to say; never blocks longer than it takes to reap a dead one."""
        if not isinstance(self._served, _Children):
            return []
        try:
            return self._served.take_answers()
        except (PoolError, ShippingError) as error:
            if self._fork_server is not None and self._fork_server.is_guest():
                time.sleep(_LAUNCHER_FIRST_S)  # the rank that has the template is dead, and the launcher says so
            self._close(0.0)
            return [messages.ChildrenFailed(error)]

    def wait(self, backoff: Backoff, *, hurried: bool = False) -> None:
        """Sleep until a child has something to say, or it is time to look for messages of rank 0 again.

        Args:
            backoff: grows while nothing comes.
            hurried: a message is on its way, and moves only while somebody looks.
        """
        served = self._served
        if hurried:
            backoff.reset()
        if isinstance(served, _Children) and served.tasks and (descriptor := served.fileno()) is not None:
            pause = _BRIEF_S if hurried else served.choose_pause(backoff.next())
            wait_readable([descriptor], pause)
        elif hurried:
            backoff.give_way()
        else:
            backoff.take()

    def take_room(self, size: int) -> memoryview | None:
        """Return memory into which a big part of a message is best received; `None`: any will do."""
        return self._served.take_room(size) if isinstance(self._served, _Children) else None

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `collect` has something to do; `None`: it never has."""
        return self._served.fileno() if isinstance(self._served, _Children) else None

    def deadline(self) -> float | None:
        """Return when `collect` has to look after a child's time-out, by `time.monotonic`."""
        return self._served.deadline() if isinstance(self._served, _Children) else None

    def _open(self, order: OpenProgram) -> Answer:
        """Load a program, or start children that do; return the answer."""
        found = order.program.open() if isinstance(order.program, PackedFile) else order.program
        if found is None:
            return messages.ProgramMissing()
        if order.isolation is None:
            own: _OwnEvaluator
            be_trusted(order.secret)
            own, failed = attempt(_OwnEvaluator, found, order.label)
            if failed is not None:
                return _explain(failed)
            self._served = own
            return messages.ProgramOpened(own.find_program())
        if self._fork_server is None or not self._fork_server.is_alive():
            why = "PAPYMPI_WITHOUT_CHILDREN forbids it" if self._fork_server is None else "it has died"
            return messages.OpeningFailed(
                f"there is no fork server, as {why}: say `isolate = false`, or start the ranks anew"
            )
        try:
            self._served = served = _Children(self._fork_server, found, order, order.isolation)
        except (PoolError, ShippingError) as error:
            return messages.OpeningFailed(str(error))
        return messages.ProgramOpened(served.find_program(), self._fork_server.door, tell_crowd(order.isolation.names))

    def _close(self, grace: float) -> None:
        """Let go of the pool that was served."""
        served, self._served = self._served, None
        if served is not None:
            served.close(grace)


def _explain(failed: BaseException) -> Answer:
    """Return what to answer when a rank that evaluates itself cannot load a program, or a setup has raised."""
    if isinstance(failed, SetupError):
        return messages.ChildrenFailed(failed)
    return messages.OpeningFailed(tell_traceback(failed, tells_own=True))


def serve(world: World, *ignored: signal.Signals) -> int:
    """Serve rank 0 until it says `LeaveWorld`, and let these signals pass by as well; return 0."""
    world.ignore_signals(*ignored)
    wire = world.wire
    worker, backoff, waiting = RankWorker(world.fork_server), Backoff(world.crowd), deque[Order]()
    wire.take_room = worker.take_room
    while True:
        _receive(world, waiting)
        answers, begun = worker.collect(), time.perf_counter()
        order = waiting.popleft() if waiting else None
        if isinstance(order, messages.ServeExecutor):
            _serve_executor(world, order.ranks)
        elif order is not None:
            answers += worker.handle(order)
        taken = time.perf_counter() - begun
        for answer in answers:
            wire.send(0, to_parts(answer))
        if isinstance(order, messages.LeaveWorld):
            wire.drain()
            return 0
        if order is None and not answers:
            worker.wait(backoff, hurried=wire.busy)
            continue
        backoff.reset()
        if wire.busy and worker.fileno() is None:
            wire.drain(_FLUSH * taken)


def _receive(world: World, waiting: deque[Order]) -> None:
    """Take in what has come; the order to close or to leave takes the place of the tasks before it."""
    for _, parts in world.wire.receive():
        order: Order = from_parts(parts)
        if isinstance(order, messages.ClosePool | messages.LeaveWorld):
            waiting.clear()
        (waiting.appendleft if isinstance(order, messages.BeginNothing) else waiting.append)(order)
    world.wire.progress()


def _serve_executor(world: World, ranks: Sequence[int]) -> None:
    """Be a worker of mpi4py's executor until that is shut down."""
    from mpi4py.futures import MPICommExecutor

    comm = world.split(ranks)
    with MPICommExecutor(comm, root=0):
        pass
    comm.Free()
