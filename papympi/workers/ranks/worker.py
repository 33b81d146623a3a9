"""What a rank does for one pool after the other: it evaluates tasks itself, or guards children that do.

Rank 0 sends OPEN (a label, a packed program or where one is, how to isolate), TASK (the number of the child, how many
children of this number rank 0 knows to be dead, a task, sealed if it is for a child), CLOSE (whether in haste: finish
or kill what is at work, forget the rest), EXECUTE (serve mpi4py's executor with these ranks), END (as CLOSE, and
leave). A rank answers OPENED (what went wrong, or where the program is, or nothing), MISSING (the program is not where
OPEN has said), OUTCOME (sealed if it is a child's), LOGS (what a child has printed), LOST (a child, and what it died
of), BROKEN (the error that leaves the pool without children), CLOSED, BYE.
"""

from __future__ import annotations

import os
import select
import time
import traceback
from collections.abc import Sequence
from pickle import PickleBuffer
from typing import Any, Final, NamedTuple

from papympi.errors import PoolError, ShippingError
from papympi.plan.program import Program
from papympi.transport.arena import LEAST
from papympi.transport.packed import Elsewhere, Packed, map_packed
from papympi.transport.sealed import SealedOutcome, receive
from papympi.transport.ship import unpack_program
from papympi.transport.task import Kind, Lost, Task
from papympi.workers.children.client import Nursery
from papympi.workers.children.supervisor import Guards
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.host import count_shared_memory
from papympi.workers.ranks.wire import Nap

OPEN, TASK, CLOSE, EXECUTE, END = range(5)
OPENED, OUTCOME, CLOSED, BYE, LOST, BROKEN, LOGS, MISSING = range(8)

Message = tuple[Any, ...]

_GRACE_S: Final = 4.0
"""How long children may take to finish what they are at; less than a rank may take to say goodbye."""
_BRIEF_S: Final = 20e-6
"""The nap while children are at work and a message is on its way."""
_SHORT_S: Final = 50e-6
"""The first nap while children are at work: the processor is theirs."""
_LONG_S: Final = 2e-3
"""The longest nap, and the one while every child has a task at hand, so that only a child can have something to say."""
_SHARE: Final = 0.25
"""The first nap as a share of the time from one outcome to the next."""
_LEARNS: Final = 0.2
"""How much the last time counts in the average."""


class Isolation(NamedTuple):
    """How a rank isolates the tasks of a pool.

    Attributes:
        pool: the pool's name.
        names: how messages name the children.
        outline: what their guards have to know of the program.
        memory: how many bytes each may allocate; 0: as many as there are.
        shared: how many bytes of shared memory big buffers may take on this host; `None`: the usual part.
        sharers: how many ranks of the pool are on this host, which divide it.
    """

    pool: str
    names: Sequence[str]
    outline: Program
    memory: int = 0
    shared: int | None = None
    sharers: int = 1


class _Own:
    """The rank evaluates itself: each task is answered at once.

    Args:
        packed: the program. Its big constants are used where they lie, and seen there by other ranks of this host.
        label: how messages name the rank.

    Raises:
        Exception: whatever loading the program raises.
    """

    def __init__(self, packed: Packed, label: str) -> None:
        self._packed = packed if packed.size < LEAST else packed.store()
        self.find_program = self._packed.find_file
        try:
            file = self._packed.file
            program = unpack_program(self._packed if file is None else map_packed(os.dup(file)))
        except BaseException:
            self._packed.close()
            raise
        self._evaluator = Evaluator(program, label)

    def take(self, _child: int, _deaths: int, wire: tuple[Any, ...]) -> list[Message]:
        task = Task.from_wire(wire)
        outcome = self._evaluator.run(task)
        return [] if task.kind is Kind.DISCARD else [(OUTCOME, outcome.to_wire())]

    def close(self, _grace: float) -> None:
        self._evaluator.close()
        self._packed.close()


class _Staff:
    """The rank's children evaluate; it hands tasks and outcomes on without opening them."""

    def __init__(self, nursery: Nursery, packed: Packed, isolation: Isolation) -> None:
        nursery.owner = isolation.pool
        shared = count_shared_memory(isolation.shared) // isolation.sharers
        self._guards = Guards(nursery, isolation.names, isolation.memory, lasting=True, shared=shared)
        self.take_room = self._guards.take_room
        self.find_program = self._guards.find_program
        self._room = 2 * len(isolation.names)
        self._tasks: dict[int, int] = {}
        self._deaths = [0] * len(isolation.names)
        self._last = time.monotonic()
        self._pace = 0.0
        self._guards.start(isolation.outline, packed)

    @property
    def is_busy(self) -> bool:
        """A child is at work."""
        return bool(self._tasks)

    def choose_nap(self, length: float) -> float:
        """Return how long to wait for children that are at work, in seconds, if `length` would be due otherwise.

        A task that comes while its child is at another one is in no hurry: a few looks for each outcome are enough.
        """
        if len(self._tasks) >= self._room:
            return _LONG_S
        return min(max(length, _SHORT_S, _SHARE * self._pace), _LONG_S)

    def take(self, child: int, deaths: int, address: tuple[Any, ...]) -> list[Message]:
        if deaths != self._deaths[child]:
            return []  # it was for a child that has died meanwhile: rank 0 will send it again when it hears of that
        number, kind, stage, parts = address
        task = receive(number, kind, stage, parts)
        if task.kind is not Kind.DISCARD:
            self._tasks[number] = child
        self._guards.submit(child, task)
        return []

    def collect(self) -> list[Message]:
        """Return what the children have to say."""
        answers: list[Message] = []
        for news in self._guards.collect():
            if isinstance(news, Lost):
                self._deaths[news.worker] += 1
                self._tasks = {task: child for task, child in self._tasks.items() if child != news.worker}
                answers.append((LOST, news))
            elif isinstance(news, SealedOutcome):
                self._tasks.pop(news.task, None)
                self._note_pace()
                answers += [(LOGS, news.logs)] * (news.logs is not None)
                answers.append((OUTCOME, [PickleBuffer(part) for part in news.parts]))
        answers += [(LOGS, logs) for logs in self._guards.take_logs()]
        return answers

    def _note_pace(self) -> None:
        """Learn how long it takes from one outcome to the next."""
        now = time.monotonic()
        self._pace += _LEARNS * (now - self._last - self._pace)
        self._last = now

    def fileno(self) -> int:
        """Return a descriptor that is readable when a child has something to say."""
        descriptor = self._guards.fileno()
        assert descriptor is not None
        return descriptor

    def deadline(self) -> float | None:
        """Return when `collect` has to look after a child's time-out."""
        return self._guards.deadline()

    def close(self, grace: float) -> None:
        self._guards.close(grace)


class Station:
    """One rank at work.

    Args:
        nursery: where its children come from; `None`: it can have none.
    """

    def __init__(self, nursery: Nursery | None = None) -> None:
        self._nursery = nursery
        self._desk: _Own | _Staff | None = None

    def handle(self, message: Message) -> list[Message]:
        """Do what a message says and return the answers that there are by now."""
        kind = message[0]
        if kind == TASK:
            return [] if self._desk is None else self._desk.take(*message[1:])  # none: it broke, which was told
        if kind == OPEN:
            return [self._open(*message[1:])]
        self._close(0.0 if message[1] else _GRACE_S)
        return [(CLOSED,) if kind == CLOSE else (BYE,)]

    def collect(self) -> list[Message]:
        """Return what children have to say; never blocks longer than the burial of a dead one takes."""
        if not isinstance(self._desk, _Staff):
            return []
        try:
            return self._desk.collect()
        except (PoolError, ShippingError) as error:
            self._close(0.0)
            return [(BROKEN, error)]

    def wait(self, nap: Nap, *, hurried: bool = False) -> None:
        """Sleep until a child has something to say, or it is time to look for messages of rank 0 again.

        Args:
            nap: grows while nothing comes.
            hurried: a message is on its way, and moves only while somebody looks.
        """
        desk = self._desk
        if hurried:
            nap.reset()
        if isinstance(desk, _Staff) and desk.is_busy:
            pause = _BRIEF_S if hurried else desk.choose_nap(nap.next())
            select.select([desk.fileno()], [], [], pause)
        elif hurried:
            nap.give_way()
        else:
            nap.take()

    def take_room(self, size: int) -> memoryview | None:
        """Return memory into which a big part of a message is best received; `None`: any will do."""
        return self._desk.take_room(size) if isinstance(self._desk, _Staff) else None

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `collect` has something to do; `None`: it never has."""
        return self._desk.fileno() if isinstance(self._desk, _Staff) else None

    def deadline(self) -> float | None:
        """Return when `collect` has to look after a child's time-out, by `time.monotonic`."""
        return self._desk.deadline() if isinstance(self._desk, _Staff) else None

    def _open(self, label: str, packed: Any, isolation: Isolation | None) -> Message:
        """Load a program, or start children that do; return the answer."""
        found = packed.open() if isinstance(packed, Elsewhere) else packed
        if found is None:
            return (MISSING,)
        if isolation is None:
            return OPENED, self._load(label, found)
        if self._nursery is None or not self._nursery.is_alive():
            why = "PAPYMPI_WITHOUT_CHILDREN forbids it" if self._nursery is None else "it has died"
            return OPENED, f"there is no fork server, as {why}: say `isolate = false`, or start the ranks anew"
        try:
            self._desk = desk = _Staff(self._nursery, found, isolation)
        except PoolError as error:
            return OPENED, str(error)
        return OPENED, desk.find_program()

    def _load(self, label: str, packed: Packed) -> str | Elsewhere | None:
        """Load a program; return what went wrong, or where others of this host find it."""
        desk: _Own
        desk, error = attempt(_Own, packed, label)
        if error is not None:
            return "".join(traceback.format_exception(error))
        self._desk = desk
        return desk.find_program()

    def _close(self, grace: float) -> None:
        """Let go of the pool that was served."""
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.close(grace)
