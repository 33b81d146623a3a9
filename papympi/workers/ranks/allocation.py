"""Rank 0's view of the world: which pool has which ranks, and whose the messages are that come in."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from papympi.errors import PoolError
from papympi.transport.doorbell import Backoff
from papympi.workers.ranks import messages
from papympi.workers.ranks.messages import Answer, Order, from_parts, to_parts
from papympi.workers.ranks.world import World

Inbox = deque[tuple[int, Answer]]
"""Messages that have come for one pool, each with the rank it is from."""


class RankAllocator:
    """The ranks of the world, lent to pools and taken back.

    Attributes:
        world: the ranks.
        closing: ranks that were told to close and have not said that they did; what else comes from them is old.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.closing: set[int] = set()
        self._wire = world.wire
        self._owners: dict[int, str] = {}
        self._inboxes: dict[int, Inbox] = {}
        self._lent = False
        self._present = set(range(1, world.size))

    def take_fork_server(self) -> bool:
        """Lend the fork server of this rank, which has no other, to one pool at a time; return whether it was free."""
        lent, self._lent = self._lent, True
        return not lent

    def give_fork_server(self) -> None:
        """Take it back."""
        self._lent = False

    def free_ranks(self) -> list[int]:
        """Return the ranks that no pool has."""
        return [rank for rank in range(1, self.world.size) if rank not in self._owners]

    def claim(self, owner: str, ranks: Sequence[int]) -> Inbox:
        """Lend ranks to a pool; return where their messages will be."""
        for rank in ranks:
            if rank >= self.world.size:
                raise PoolError(
                    f"pool {owner!r}: there is no rank {rank}; the ranks of this run are 0 to {self.world.size - 1}, "
                    "and rank 0 is the runner"
                )
            if rank in self._owners:
                raise PoolError(
                    f"pool {owner!r}: rank {rank} belongs to pool {self._owners[rank]!r}; let each pool have its own, "
                    'e.g. ranks = "1-4" and ranks = "5-8"'
                )
        backoff = Backoff()
        while not self.closing.isdisjoint(ranks):
            self.poll()
            backoff.take()
        inbox: Inbox = deque()
        for rank in ranks:
            self._owners[rank] = owner
            self._inboxes[rank] = inbox
        return inbox

    def send(self, rank: int, order: Order) -> None:
        """Send an order to a rank."""
        self._wire.send(rank, to_parts(order))

    def poll(self) -> None:
        """Let messages go out and come in."""
        self._wire.progress()
        for rank, parts in self._wire.receive():
            answer: Answer = from_parts(parts)
            if isinstance(answer, messages.PoolClosed):
                self.closing.discard(rank)
            elif isinstance(answer, messages.RankLeft):
                self._present.discard(rank)
            elif rank in self._owners:
                self._inboxes[rank].append((rank, answer))

    def release(self, ranks: Iterable[int], patience_s: float | None) -> None:
        """Take ranks back; wait until they have closed, or until patience is at its end.

        With endless patience what is at work is finished, else children are killed.
        """
        ranks = [rank for rank in ranks if self._owners.pop(rank, None) is not None]
        for rank in ranks:
            self.closing.add(rank)
            self.send(rank, messages.ClosePool(patience_s is not None))
        self._wait(lambda: self.closing.isdisjoint(ranks), patience_s)

    def forget(self, ranks: Iterable[int]) -> None:
        """Take back ranks that have closed by themselves."""
        for rank in ranks:
            self._owners.pop(rank, None)

    def dismiss(self, patience_s: float, *, hasty: bool = True) -> bool:
        """Send all ranks home; return whether all have said goodbye before patience was at its end.

        Children that are at work are killed, unless it is not `hasty`.
        """
        for rank in self._present:
            self.send(rank, messages.LeaveWorld(hasty))
        self._wait(lambda: not self._present, patience_s)
        if not self._present:
            self._wire.drain()
        return not self._present

    def _wait(self, is_done: Callable[[], bool], patience_s: float | None) -> None:
        """Poll until something is so, or until patience is at its end."""
        deadline = None if patience_s is None else time.monotonic() + patience_s
        backoff = Backoff()
        while not is_done() and (deadline is None or time.monotonic() < deadline):
            self.poll()
            backoff.take()


def must_share(options: Mapping[str, Any], pools: int) -> bool:
    """Say whether so many pools with the same options need more ranks than there are in the world."""
    allocator = joined()
    if allocator is None or pools < 2:
        return False
    there = allocator.world.size - 1
    return "ranks" in options or pools * (options.get("workers") or there) > there or not there


_joined: Final[list[RankAllocator]] = []


def join(world: World) -> RankAllocator:
    """Let the pools of this process, which is rank 0, use the ranks of a world."""
    _joined[:] = [RankAllocator(world)]
    return _joined[0]


def joined() -> RankAllocator | None:
    """Return the ranks that the pools of this process may use; `None` when it is no rank."""
    return _joined[0] if _joined else None
