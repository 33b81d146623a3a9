"""The pool of MPI ranks, driven by the engine's turn: batches on their way to each rank, polled for outcomes.

In a world of ranks, which mpiexec has started, it sends messages itself. Elsewhere it starts local ranks and talks to
them through a socket. In a world of one rank it evaluates in this process.
"""

from __future__ import annotations

import os
import select
import socket
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from papympi.contracts import Backend, Capabilities
from papympi.errors import OptionError, PoolError, ShippingError
from papympi.launchers import mpiexec
from papympi.launchers.search import find_launcher
from papympi.plan.program import Program
from papympi.transport.ship import pack_program
from papympi.transport.task import Lost, Outcome, Task
from papympi.workers.job import LocalJob
from papympi.workers.rank import CLOSE, OPEN, OPENED, OUTCOME, TASK, Worker
from papympi.workers.roster import Inbox, Roster, joined
from papympi.workers.wire import Nap

CAPABILITIES: Final = Capabilities(streams=True, remote=True)
_HASTE_S: Final = 1.0
"""How long `kill` waits for ranks to finish their batch; those that take longer finish it with nobody listening."""


class _Link(Protocol):
    """The way to some ranks; `labels` names each of them, in the order in which `send` numbers them."""

    labels: list[str]

    def send(self, worker: int, message: Any, /) -> None:
        """Send a message; never blocks."""

    def take(self) -> list[tuple[int, Any]]:
        """Return the messages that have come, each with the number of the worker; never blocks."""

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `take` has something to do, if there is one."""

    def close(self) -> None:
        """Let go of the ranks once they have finished what they are at."""

    def kill(self) -> None:
        """Let go of the ranks at once."""


class _Lent:
    """Ranks of the world that this process is rank 0 of. They outlive the pool."""

    def __init__(self, name: str, roster: Roster, ranks: Sequence[int]) -> None:
        self._roster = roster
        self._ranks = ranks
        self._numbers = {rank: number for number, rank in enumerate(ranks)}
        self._inbox: Inbox = roster.claim(name, ranks)
        hosts = roster.world.hosts
        self.labels = [f"{name}[{number}] rank {rank} on {hosts[rank][0]}" for number, rank in enumerate(ranks)]

    def send(self, worker: int, message: Any) -> None:
        self._roster.send(self._ranks[worker], message)

    def take(self) -> list[tuple[int, Any]]:
        self._roster.poll()
        come = [(self._numbers[rank], message) for rank, message in self._inbox]
        self._inbox.clear()
        return come

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self._roster.release(self._ranks, None)

    def kill(self) -> None:
        self._roster.release(self._ranks, _HASTE_S)


class _Local:
    """Ranks that are started on this host, and end with the pool."""

    def __init__(self, name: str, count: int) -> None:
        launcher = find_launcher()
        self._job = LocalJob(name, count + 1)
        argv = mpiexec.command(launcher, count + 1, self._job.program, local=True, root=os.geteuid() == 0)
        try:
            self._job.start(argv, mpiexec.environment(os.environ, local=True))
        except BaseException:
            self._job.kill()
            raise
        hosts = self._job.hosts[1:]
        self.labels = [f"{name}[{number}] rank {number + 1} on {host}" for number, (host, _) in enumerate(hosts)]

    def send(self, worker: int, message: Any) -> None:
        self._job.send(worker + 1, message)

    def take(self) -> list[tuple[int, Any]]:
        return [(rank - 1, message) for rank, message in self._job.take()]

    def fileno(self) -> int | None:
        return self._job.fileno()

    def close(self) -> None:
        self._job.close()

    def kill(self) -> None:
        self._job.kill()


class _Alone:
    """This process, which is the only rank of its world: it evaluates one batch at each `take`."""

    def __init__(self, name: str) -> None:
        self.labels = [f"{name}[0] rank 0 on {socket.gethostname()}"]
        self._worker = Worker()
        self._messages: deque[Any] = deque()

    def send(self, _worker: int, message: Any) -> None:
        self._messages.append(message)

    def take(self) -> list[tuple[int, Any]]:
        answer = self._worker.handle(self._messages.popleft()) if self._messages else None
        return [] if answer is None else [(0, answer)]

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self._messages.clear()
        self._worker.handle((CLOSE,))

    def kill(self) -> None:
        self.close()


class MpiPool:
    """MPI ranks.

    Args:
        name: the pool's name.
        workers: how many ranks at most; by default all that no other pool has or has asked for. Without mpiexec:
            how many to start, by default one for each CPU that this process may use.
        ranks: which ranks of the world, e.g. "1-24" or "1-3,7".
        places: how many batches one rank may have: 2 means one at work and one on its way.
    """

    capabilities = CAPABILITIES
    concurrency = 1

    def __init__(self, name: str, workers: int | None = None, ranks: str | None = None, places: int = 2) -> None:
        self.name = name
        self.places = _check_count(name, "places", places)
        self.workers: Sequence[str] = ()
        self._limit = None if workers is None else _check_count(name, "workers", workers)
        self._ranks = None if ranks is None else mpiexec.parse_ranks(name, ranks)
        self._link: _Link | None = None
        if ranks is not None:
            _reserved[self] = frozenset(self._ranks or ())

    def open(self, program: Program) -> None:
        """Get hold of the ranks and send them the program."""
        packed = pack_program(program)
        self._link = self._connect()
        try:
            labels = self._link.labels
            for number, label in enumerate(labels):
                self._link.send(number, (OPEN, label, packed))
            for number, trouble in self._await_opened(self._link):
                if trouble:
                    raise ShippingError(f"pool {self.name!r}: {labels[number]} cannot load the functions:\n{trouble}")
        except BaseException:
            self.kill()
            raise
        self.workers = labels

    def submit(self, worker: int, task: Task) -> None:
        """Send a task to a rank; what cannot leave at once, `collect` sends."""
        assert self._link is not None
        self._link.send(worker, (TASK, task.to_wire()))

    def collect(self) -> list[Outcome | Lost]:
        """Return what has come home.

        Raises:
            PoolError: the ranks are gone.
        """
        if self._link is None:
            return []
        return [Outcome.from_wire(message[1]) for _, message in self._link.take() if message[0] == OUTCOME]

    def fileno(self) -> int | None:
        """Return the descriptor of local ranks; those of the world have none."""
        return None if self._link is None else self._link.fileno()

    def deadline(self) -> float | None:
        """Return `None`: time-outs are looked after where the functions are called."""
        return None

    def close(self) -> None:
        """Let the ranks finish what they are at; those of the world wait for the next pool, local ones end."""
        link = self._let_go()
        if link is not None:
            link.close()

    def kill(self) -> None:
        """Let go of the ranks at once: those of the world finish their batch for nobody, local ones are killed."""
        link = self._let_go()
        if link is not None:
            link.kill()

    def _let_go(self) -> _Link | None:
        """Return the way to the ranks, which this pool has no more."""
        link, self._link = self._link, None
        _reserved.pop(self, None)
        return link

    def _connect(self) -> _Link:
        """Get hold of the ranks that there are here."""
        roster = joined()
        promised = mpiexec.promised_ranks(os.environ)
        if roster is None and promised > 1:
            raise PoolError(
                f"pool {self.name!r}: this process is one of {promised} ranks, and nobody has told the others to work; "
                f"start them with `mpiexec -n {promised} papympi run FILE`, or start this program without mpiexec"
            )
        if roster is None and not promised:
            return _Local(self.name, self._limit or len(self._ranks or ()) or len(os.sched_getaffinity(0)))
        if roster is None or roster.world.size == 1:
            return _Alone(self.name)
        ranks = self._ranks
        if ranks is None:
            wanted = frozenset[int]().union(*_reserved.values())
            ranks = [rank for rank in roster.free_ranks() if rank not in wanted]
        if not ranks:
            raise PoolError(f"pool {self.name!r}: other pools have all the ranks; give each its own with `ranks`")
        return _Lent(self.name, roster, ranks[: self._limit])

    def _await_opened(self, link: _Link) -> Iterator[tuple[int, str | None]]:
        """Yield what each rank has to say to the program."""
        nap, rest = Nap(), len(link.labels)
        while rest:
            for number, message in link.take():
                if message[0] == OPENED:
                    rest -= 1
                    yield number, message[1]
            descriptor = link.fileno()
            if not rest or descriptor is None:
                nap.take()
            else:
                select.select([descriptor], [], [])


_reserved: Final[weakref.WeakKeyDictionary[MpiPool, frozenset[int]]] = weakref.WeakKeyDictionary()
"""Pools that have asked for certain ranks and are not closed: others leave these to them."""


def _check_count(name: str, option: str, value: Any) -> int:
    """Return `value` if it is a number of workers or places."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise OptionError(f"pool {name!r}: {option} must be an integer of at least 1, not {value!r}")
    return value


BACKEND: Final = Backend(
    make=MpiPool,
    summary="MPI ranks: those that mpiexec has started, else local ones of its own (options: workers, ranks, places)",
    capabilities=CAPABILITIES,
)
