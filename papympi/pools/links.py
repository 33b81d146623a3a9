"""The ways to the ranks of an MPI pool: those of the world, local ones, and this process as the only one."""

from __future__ import annotations

import os
import pickle
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from papympi.launchers import mpiexec
from papympi.launchers.search import find_launcher
from papympi.transport.arena import LEAST
from papympi.transport.packed import Elsewhere, Packed
from papympi.transport.sealed import decode, encode
from papympi.workers.children.client import Nursery
from papympi.workers.ranks.allocation import Inbox, Roster
from papympi.workers.ranks.local_job import LocalJob
from papympi.workers.ranks.wire import Nap
from papympi.workers.ranks.worker import CLOSE, MISSING, OPEN, OPENED, Station

_HASTE_S: Final = 1.0
"""How long `kill` waits for ranks to finish their batch; those that take longer finish it with nobody listening."""


class Place(NamedTuple):
    """Where a rank is: its number in the world, its host, its process id."""

    rank: int
    host: str
    pid: int


class Link(Protocol):
    """The way to some ranks; `places` tells of each of them, in the order in which `send` numbers them."""

    places: Sequence[Place]

    def send(self, number: int, message: Any, /) -> None:
        """Send a message; never blocks."""

    def take(self) -> list[tuple[int, Any]]:
        """Return the messages that have come, each with the number of the rank; never blocks."""

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `take` has something to do, if there is one."""

    def deadline(self) -> float | None:
        """Return when `take` has to look after the time-out of a child of this process, if it has any."""

    def close(self) -> None:
        """Let go of the ranks once they have finished what they are at."""

    def kill(self) -> None:
        """Let go of the ranks at once."""


class Lent:
    """Ranks of the world that this process is rank 0 of. They outlive the pool."""

    def __init__(self, name: str, roster: Roster, ranks: Sequence[int]) -> None:
        self._roster = roster
        self._ranks = ranks
        self._numbers = {rank: number for number, rank in enumerate(ranks)}
        self._inbox: Inbox = roster.claim(name, ranks)
        self.places: Sequence[Place] = [Place(rank, *roster.world.hosts[rank]) for rank in ranks]

    def send(self, number: int, message: Any) -> None:
        """Send a message."""
        self._roster.send(self._ranks[number], message)

    def take(self) -> list[tuple[int, Any]]:
        """Return the messages that have come."""
        self._roster.poll()
        come = [(self._numbers[rank], message) for rank, message in self._inbox]
        self._inbox.clear()
        return come

    def fileno(self) -> int | None:
        """Return `None`: MPI has no descriptor."""
        return None

    def deadline(self) -> float | None:
        """Return `None`: the ranks look after their children."""
        return None

    def close(self) -> None:
        """Give the ranks back, once they have finished."""
        self._roster.release(self._ranks, None)

    def kill(self) -> None:
        """Give the ranks back at once."""
        self._roster.release(self._ranks, _HASTE_S)


class Local:
    """Ranks that are started on this host, and end with the pool.

    Args:
        name: the pool's name.
        count: how many ranks.
        isolates: they may be told to isolate.
        shared: how many bytes of shared memory large values may take on their way to the first rank, which only
            forwards, and back.
    """

    def __init__(self, name: str, count: int, *, isolates: bool, shared: int) -> None:
        launcher = find_launcher()
        self._job = LocalJob(name, count + 1, isolates=isolates, shared=shared)
        argv = mpiexec.command(launcher, count + 1, self._job.program, local=True, root=os.geteuid() == 0)
        try:
            self._job.start(argv, mpiexec.environment(os.environ, local=True))
        except BaseException:
            self._job.kill()
            raise
        self.places: Sequence[Place] = [Place(rank, *who) for rank, who in enumerate(self._job.hosts)][1:]

    def send(self, number: int, message: Any) -> None:
        """Send a message."""
        self._job.send(number + 1, message)

    def take(self) -> list[tuple[int, Any]]:
        """Return the messages that have come."""
        return [(rank - 1, message) for rank, message in self._job.take()]

    def fileno(self) -> int | None:
        """Return the descriptor of the socket and what the ranks print."""
        return self._job.fileno()

    def deadline(self) -> float | None:
        """Return `None`: the ranks look after their children."""
        return None

    def close(self) -> None:
        """End the ranks once they have finished."""
        self._job.close()

    def kill(self) -> None:
        """End the ranks at once."""
        self._job.kill()


class Alone:
    """This process, which is the only rank of its world: it evaluates one batch at each `take`, or guards children.

    Args:
        name: the pool's name.
        nursery: the fork server that was started before MPI, if one was.
        isolates: there are to be children.
    """

    def __init__(self, name: str, nursery: Nursery | None, *, isolates: bool) -> None:
        self.places: Sequence[Place] = [Place(0, socket.gethostname(), os.getpid())]
        self._own: Nursery | None = None
        if isolates and nursery is None:
            self._own = nursery = Nursery(name)
            nursery.start()
        self._station = Station(nursery)
        self._isolates = isolates
        self._messages: deque[Any] = deque()
        self._answers: list[Any] = []

    def send(self, _number: int, message: Any) -> None:
        """Hand a message to the children at once; without any, `take` sees to it."""
        if self._isolates:
            self._answers += self._station.handle(message)
        elif message[0] == OPEN:
            self._messages.append(pickle.loads(pickle.dumps(message, 5)))  # constants of its own, not the user's
        else:
            self._messages.append(decode(encode(message)))  # as it would come out of a message

    def take(self) -> list[tuple[int, Any]]:
        """Return what there is to say."""
        answers, self._answers = self._answers, []
        answers += self._station.collect()
        if self._messages:
            answers += self._station.handle(self._messages.popleft())
        return [(0, answer) for answer in answers]

    def fileno(self) -> int | None:
        """Return the descriptor of the children, if there are any."""
        return self._station.fileno()

    def deadline(self) -> float | None:
        """Return when a child has to be looked after."""
        return self._station.deadline()

    def close(self) -> None:
        """End the children once they have finished."""
        self._end(hasty=False)

    def kill(self) -> None:
        """End the children at once."""
        self._end(hasty=True)

    def _end(self, *, hasty: bool) -> None:
        self._messages.clear()
        self._station.handle((CLOSE, hasty))
        if self._own is not None:
            self._own.end(0)


def open_ranks(
    link: Link, packed: Packed, compose: Callable[[int, Packed | Elsewhere], Any]
) -> Iterator[tuple[int, Any]]:
    """Send a program to all ranks; yield their messages, each with the number of the rank, until all have opened it.

    Args:
        link: the way to the ranks.
        packed: the program.
        compose: makes the message for a rank. Of those that share a host only the first gets a big program, and the
            others are told where it has put it.
    """
    groups = _group(link.places, share=packed.size >= LEAST)
    for leader in groups:
        link.send(leader, compose(leader, packed))
    nap, rest = Nap(), len(link.places)
    while rest:
        for number, message in link.take():
            if message[0] == MISSING:
                link.send(number, compose(number, packed))
                continue
            if message[0] == OPENED:
                rest -= 1
                found = message[1] if isinstance(message[1], Elsewhere) else packed
                for other in groups.get(number, ()):
                    link.send(other, compose(other, found))
            yield number, message
        if rest:
            _wait(link, nap)


def _group(places: Sequence[Place], *, share: bool) -> dict[int, list[int]]:
    """Return the numbers of the first rank of each host, or of all ranks, each with the others of its host."""
    groups: dict[int, list[int]] = {}
    first: dict[str, int] = {}
    for number, place in enumerate(places):
        leader = first.setdefault(place.host, number) if share else number
        groups.setdefault(leader, [])
        if leader != number:
            groups[leader].append(number)
    return groups


def _wait(link: Link, nap: Nap) -> None:
    """Wait until there may be something to take."""
    descriptor = link.fileno()
    if descriptor is None:
        nap.take()
    else:
        select.select([descriptor], [], [])
