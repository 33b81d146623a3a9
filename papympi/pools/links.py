"""The links to the ranks of an MPI pool: those of the world, local ones, and this process as the only one."""

from __future__ import annotations

import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from papympi.launchers import mpiexec
from papympi.launchers.search import find_launcher
from papympi.script.interpreter import make_environment
from papympi.transport.arena import LEAST
from papympi.transport.doorbell import Backoff, wait_readable
from papympi.transport.packed import Packed, PackedFile
from papympi.workers.children.client import ForkServerClient
from papympi.workers.host import check_count
from papympi.workers.ranks import messages
from papympi.workers.ranks.allocation import Inbox, RankAllocator
from papympi.workers.ranks.local_job import LocalJob
from papympi.workers.ranks.messages import Answer, OpenProgram, Order, from_parts, to_parts
from papympi.workers.ranks.worker import RankWorker

_HASTE_S: Final = 1.0
"""How long `kill` waits for ranks to finish their batch; those that take longer finish it with nobody listening."""


class RankPlace(NamedTuple):
    """Where a rank is: its number in the world, its host, its process id."""

    rank: int
    host: str
    pid: int


class RankLink(Protocol):
    """The link to some ranks; `places` tells of each of them, in the order in which `send` numbers them."""

    places: Sequence[RankPlace]

    def send(self, number: int, order: Order, /) -> None:
        """Send an order; never blocks."""

    def take(self) -> list[tuple[int, Answer]]:
        """Return the answers that have come, each with the number of the rank; never blocks."""

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `take` has something to do; `None`: there is none, as for MPI."""
        return None

    def deadline(self) -> float | None:
        """Return when `take` has to look after a child's time-out; `None`: the ranks look after their children."""
        return None

    def close(self) -> None:
        """Let go of the ranks once they have finished what they are at."""

    def kill(self) -> None:
        """Let go of the ranks at once."""


class WorldRanks(RankLink):
    """Ranks of the world that this process is rank 0 of. They outlive the pool."""

    def __init__(self, name: str, allocator: RankAllocator, ranks: Sequence[int]) -> None:
        self._allocator = allocator
        self._ranks = ranks
        self._numbers = {rank: number for number, rank in enumerate(ranks)}
        self._inbox: Inbox = allocator.claim(name, ranks)
        self.places: Sequence[RankPlace] = [RankPlace(rank, *allocator.world.hosts[rank]) for rank in ranks]

    def send(self, number: int, order: Order) -> None:
        """Send an order."""
        self._allocator.send(self._ranks[number], order)

    def take(self) -> list[tuple[int, Answer]]:
        """Return the answers that have come."""
        self._allocator.poll()
        come = [(self._numbers[rank], answer) for rank, answer in self._inbox]
        self._inbox.clear()
        return come

    def close(self) -> None:
        """Give the ranks back, once they have finished."""
        self._allocator.release(self._ranks, None)

    def kill(self) -> None:
        """Give the ranks back at once."""
        self._allocator.release(self._ranks, _HASTE_S)


class LocalRanks(LocalJob, RankLink):
    """Ranks that are started on this host, and end with the pool: `count` behind the first, which only forwards."""

    def __init__(self, name: str, count: int, *, isolates: bool, shared: int) -> None:
        check_count(name, "workers", count, local=True)
        launcher = find_launcher()
        super().__init__(name, count + 1, isolates=isolates, shared=shared)
        argv = mpiexec.command(launcher, count + 1, self.program, local=True, root=os.geteuid() == 0)
        try:
            self.start(argv, make_environment(mpiexec.environment(os.environ, local=True)))
        except BaseException:
            self.kill()
            raise
        self.places: Sequence[RankPlace] = [RankPlace(rank, *who) for rank, who in enumerate(self.hosts)][1:]


class SingleRank(RankWorker, RankLink):
    """This process, which is the only rank of its world: it evaluates one batch at each `take`, or has children.

    Args:
        fork_server: the fork server that was started before MPI, if one was.
        isolates: there are to be children.
        on_end: called when it ends.
    """

    def __init__(
        self,
        name: str,
        fork_server: ForkServerClient | None,
        *,
        isolates: bool,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.places: Sequence[RankPlace] = [RankPlace(0, socket.gethostname(), os.getpid())]
        self._own: ForkServerClient | None = None
        if isolates and fork_server is None:
            self._own = fork_server = ForkServerClient(name)
            fork_server.start()
        super().__init__(fork_server)
        self._isolates = isolates
        self._on_end = on_end
        self._orders: deque[Order] = deque()
        self._answers: list[Answer] = []

    def send(self, _number: int, order: Order) -> None:
        """Hand an order to the children at once; without any, `take` sees to it."""
        if self._isolates:
            self._answers += self.handle(order)
        elif isinstance(order, messages.BeginNothing):
            self.handle(order)
        elif isinstance(order, OpenProgram):
            self._orders.append(pickle.loads(pickle.dumps(order, 5)))  # constants of its own, not the user's
        else:
            self._orders.append(from_parts(to_parts(order)))  # as it would come out of a message

    def take(self) -> list[tuple[int, Answer]]:
        """Return what there is to say."""
        answers, self._answers = self._answers, []
        answers += self.collect()
        if self._orders:
            answers += self.handle(self._orders.popleft())
        return [(0, answer) for answer in answers]

    def close(self) -> None:
        """End the children once they have finished."""
        self._end(hasty=False)

    def kill(self) -> None:
        """End the children at once."""
        self._end(hasty=True)

    def _end(self, *, hasty: bool) -> None:
        self._orders.clear()
        self.handle(messages.ClosePool(hasty))
        if self._own is not None:
            self._own.end(0)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()


Compose = Callable[[int, Packed | PackedFile, str], OpenProgram]
"""Makes the order for a rank, of the program, or where it is, and of the door of a template."""


def open_ranks(link: RankLink, packed: Packed, compose: Compose, *, share: bool) -> Iterator[tuple[int, Answer]]:
    """Send a program to all ranks; yield their answers, each with the number of the rank, until all have opened it.

    Args:
        compose: makes the order for a rank.
        share: of the ranks of a host the first loads the script, and the others are told where they find it, and the
            program. Big programs are always shared.
    """
    groups = _group(link.places, share=share or packed.size >= LEAST)
    for leader in groups:
        link.send(leader, compose(leader, packed, ""))
    doors: dict[int, str] = {}
    backoff, rest = Backoff(), len(link.places)
    while rest:
        for number, answer in link.take():
            if isinstance(answer, messages.ProgramMissing):
                link.send(number, compose(number, packed, doors.get(number, "")))
                continue
            if isinstance(answer, messages.ProgramOpened | messages.OpeningFailed):
                rest -= 1
                place, door = answer[:2] if isinstance(answer, messages.ProgramOpened) else (None, "")
                for other in groups.get(number, ()):
                    doors[other] = door
                    link.send(other, compose(other, place or packed, door))
            yield number, answer
        if rest:
            _wait(link, backoff)


def _group(places: Sequence[RankPlace], *, share: bool) -> dict[int, list[int]]:
    """Return the numbers of the first rank of each host, or of all ranks, each with the others of its host."""
    groups: dict[int, list[int]] = {}
    first: dict[str, int] = {}
    for number, place in enumerate(places):
        leader = first.setdefault(place.host, number) if share else number
        groups.setdefault(leader, [])
        if leader != number:
            groups[leader].append(number)
    return groups


def _wait(link: RankLink, backoff: Backoff) -> None:
    """Wait until there may be something to take."""
    descriptor = link.fileno()
    if descriptor is None:
        backoff.take()
    else:
        wait_readable([descriptor], None)
