"""What the loop and the scheduler know of the steps of a run: operators, the tasks they make, the workers that do them.

An operator is the whole life of one step. It is offered chunks, says what a worker could do for it, makes the task,
takes the outcome, and does again what was lost. What it makes goes to the router.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from papympi.contracts import Pool
from papympi.engine.admission import Accounts, Admission, Order
from papympi.engine.index.segment import Segment
from papympi.engine.index.tables import Layout
from papympi.engine.recording import Recorder
from papympi.engine.resume import Replay
from papympi.engine.retries import RetryQueue
from papympi.engine.routing import Router, Taker
from papympi.engine.sizes import BatchSizes, ItemSizes
from papympi.engine.tally import Tally
from papympi.model.item import Failure, Key
from papympi.model.tracebacks import strip, tell_traceback
from papympi.plan.plan import Plan, Step, Stream
from papympi.plan.program import Call
from papympi.transport.task import Lost, Outcome, Task


@dataclass(eq=False, slots=True)
class RunContext:
    """The parts of the engine that operators use.

    Attributes:
        plan: what runs.
        layout: the tables of its spaces and streams.
        accounts: how many items are live.
        admission: who may emit items.
        batch_sizes: how many items make a batch.
        item_sizes: how many bytes items have.
        router: takes chunks to whoever wants them.
        retries: what is tried again later.
        numbers: what generators are known by.
        tally: the counts.
        recorder: keeps what is worth it; `None`: nothing is.
        replay: answers for an earlier attempt; `None`: there was none.
    """

    plan: Plan
    layout: Layout
    accounts: Accounts
    admission: Admission
    batch_sizes: BatchSizes
    item_sizes: ItemSizes
    router: Router
    retries: RetryQueue
    numbers: Iterator[int]
    tally: Tally
    recorder: Recorder | None
    replay: Replay | None

    def post_known(self, stream: Stream, segment: Segment, start: int, stop: int, replay: Replay) -> None:
        """Send what an earlier attempt has made of a stream at start..stop."""
        for chunk, failed in replay.chunks(stream, segment, start, stop):
            self.item_sizes.weigh_chunk(stream, chunk)
            self.router.post(stream, segment, chunk, failed)

    def count_withheld(self, failure: Failure) -> None:
        """Count a failure that takes the place of an item's inputs: no worker will."""
        self.tally.fail([failure])
        if self.recorder is not None:
            self.recorder.fail([failure], lambda _: None)


class Operator(Taker):
    """One step in a run. A subclass is the whole life of one kind of step."""

    def __init__(self, step: Step, context: RunContext) -> None:
        self.step = step
        self._context = context

    def has_more(self) -> bool:
        """Return whether it has something to do that nobody does yet."""
        return False

    def drain(self) -> bool:
        """Take what has come as all there is; return whether that is news. Asked again and again while a run stops."""
        return False

    def is_cut(self) -> bool:
        """Return whether it was ended before its end."""
        return False

    def pending(self) -> Order | None:
        """Return the order key at which a producer waits for a grant, or for its error to be raised, if it does."""
        return None

    def force(self) -> tuple[Candidate, WorkerState | None] | None:
        """Emit a quota although nothing fits.

        Returns:
            What has to be launched for that, and the worker that has to do it, if only one can; `None`: it is done.
        """
        raise NotImplementedError


class Candidate(NamedTuple):
    """Something that a worker could do now: full batches go first, then the deepest step.

    Attributes:
        partial: 1: it is less than a full batch.
        height: the deeper its step, the smaller.
        operator: who would make the task.
        work: the operator's own word for what it is.
    """

    partial: int
    height: int
    operator: TaskOperator[Any]
    work: Any


@dataclass(eq=False, slots=True)
class PoolState:
    """A pool as the engine sees it.

    Attributes:
        pool: the pool.
        places: how many tasks keep all its workers busy, one at work and one on its way for each.
        operators: those whose tasks it does, deepest first.
        workers: its workers.
        loads: its workers by how many tasks they have.
        held: how many generators stand on its workers.
        is_broad: it has many workers with few places each, rather than few workers with many.
    """

    pool: Pool
    places: int
    operators: list[TaskOperator[Any]] = field(default_factory=list)
    workers: list[WorkerState] = field(default_factory=list)
    loads: list[dict[WorkerState, None]] = field(default_factory=list)
    held: int = 0
    is_broad: bool = True


@dataclass(eq=False, slots=True)
class WorkerState:
    """One worker of a pool, as the engine sees it.

    Attributes:
        pool: its pool.
        number: its number in the pool.
        tasks: its tasks by id, the one at work first.
        held: what stands suspended on it and can go on nowhere else.
        dispatched: how many tasks it got.
    """

    pool: PoolState
    number: int
    tasks: dict[int, InFlightTask] = field(default_factory=dict)
    held: set[Suspended] = field(default_factory=set)
    dispatched: int = 0

    def hold(self, suspended: Suspended) -> None:
        """Take something that from now on stands on this worker."""
        self.held.add(suspended)
        self.pool.held += 1

    def let_go(self, suspended: Suspended) -> None:
        """Forget what stood on this worker."""
        self.held.discard(suspended)
        self.pool.held -= 1


class Suspended(Protocol):
    """Something that stands on one worker, between its tasks."""

    def candidate(self) -> Candidate | None:
        """Return what its worker could do for it now; `None`: it is at work, or may not go on yet."""

    def orphan(self) -> None:
        """Its worker is lost: any other of the pool may begin it again."""


@dataclass(eq=False, slots=True)
class InFlightTask:
    """A task on its way or at work; operators add what they need to take its outcome, or to do it again.

    Attributes:
        operator: who made it.
        worker: who has it.
    """

    operator: TaskOperator[Any]
    worker: WorkerState


T = TypeVar("T", bound=InFlightTask)


class TaskOperator(Operator, Generic[T]):
    """A step whose work is done by a pool.

    Attributes:
        calls: those of its stage.
        height: the deeper the step, the smaller.
        is_steady: nothing but what it does itself changes what it offers, and of what it offers the order key.
        changed: where it puts itself when that has changed; `None`: nobody has to know.
    """

    is_steady = False

    def __init__(self, step: Step, context: RunContext) -> None:
        super().__init__(step, context)
        self._stage = context.plan.program.stages[step.number]
        self.calls = self._stage.calls
        self.height = -step.level
        self.changed: set[TaskOperator[Any]] | None = None

    def candidates(self) -> Iterable[Candidate]:
        """Return what any worker could do for it now."""
        raise NotImplementedError

    def order(self, work: Any) -> Order:
        """Return the order key of a candidate's work."""
        raise NotImplementedError

    def next_task(self, worker: WorkerState, work: Any, number: int) -> tuple[T, Task]:
        """Return the task that does a candidate's work, under its number, and what is remembered of it."""
        raise NotImplementedError

    def accept(self, task: T, outcome: Outcome) -> None:
        """Take the outcome of a task."""
        raise NotImplementedError

    def take_back(self, task: T, lost: Lost | None) -> None:
        """Do a task again that was lost with its worker; `lost` says what ended the worker, if it was at this task."""
        raise NotImplementedError

    def inputs_at(self, task: T, key: Key) -> list[Any] | None:
        """Return the values that a task gave its stage at a key; `None`: the key is not one of the task's."""
        raise NotImplementedError

    def retry(self, work: Any) -> None:
        """Make something ready that has waited to be tried again."""
        raise NotImplementedError

    def _call_at(self, lost: Lost, culprit: Failure | None = None) -> Call:
        """Return the call that a worker was in; if nobody knows, the first that has not been taken for it before."""
        calls, inner = self._stage.calls, self._stage.find_inside(lost.node)
        named = [call for call in calls if call.node == lost.node]
        if inner is not None and lost.child is None:  # it was at no child, so the item itself is to blame
            own = [calls[number] for number in inner.calls[1:]]
            named = [calls[inner.scatter], *(call for call in named if call not in own)]
        if named:
            return named[-1]
        before = [number for number, call in enumerate(calls) if culprit is not None and call.node == culprit.node]
        return calls[min(before[-1] + 1, len(calls) - 1) if before else 0]


MOST_DOUBTS: Final = 2
"""So often an item is done again, alone, that a worker had at hand when it died at none; then it is at fault."""


def blame(call: Call, lost: Lost, key: Key, attempts: int) -> Failure:
    """Return the failure of the item that a worker was at; it is counted when its task comes home."""
    error, place = lost.error, call.find_inner_key(key)
    told = "" if error.__traceback__ is None else tell_traceback(error, call.function)
    strip(error)
    return Failure(call.node, key[: call.depth], error, told, "", error.worker, attempts + 1, place=place)
