"""What ranks do but the first: they serve rank 0 until it says that it is the end."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from papympi.transport.doorbell import Backoff
from papympi.workers.ranks.messages import ClosePool, LeaveWorld, Order, ServeExecutor, from_parts, to_parts
from papympi.workers.ranks.worker import RankWorker
from papympi.workers.ranks.world import World

_FLUSH: Final = 0.05
"""How long a rank stays with its outcomes, so that big ones get on their way, before it begins the next task: at most
this part of what the last one took."""


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
        if isinstance(order, ServeExecutor):
            _serve_executor(world, order.ranks)
        elif order is not None:
            answers += worker.handle(order)
        taken = time.perf_counter() - begun
        for answer in answers:
            wire.send(0, to_parts(answer))
        if isinstance(order, LeaveWorld):
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
        if isinstance(order, ClosePool | LeaveWorld):
            waiting.clear()
        waiting.append(order)
    world.wire.progress()


def _serve_executor(world: World, ranks: Sequence[int]) -> None:
    """Be a worker of mpi4py's executor until that is shut down."""
    from mpi4py.futures import MPICommExecutor

    comm = world.split(ranks)
    with MPICommExecutor(comm, root=0):
        pass
    comm.Free()
