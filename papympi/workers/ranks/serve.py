"""What ranks do but the first: they serve rank 0 until it says that it is the end."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from papympi.transport.sealed import decode, encode
from papympi.workers.ranks.wire import Nap
from papympi.workers.ranks.worker import CLOSE, END, EXECUTE, Station
from papympi.workers.ranks.world import World

_FLUSH: Final = 0.05
"""How long a rank stays with its outcomes, so that big ones get on their way, before it begins the next task: at most
this part of what the last one took."""


def serve(world: World, *ignored: signal.Signals) -> int:
    """Serve rank 0 until it says END, and let these signals pass by as well; return 0."""
    world.ignore_signals(*ignored)
    wire = world.wire
    station, nap, waiting = Station(world.nursery), Nap(world.crowd), deque[tuple[Any, ...]]()
    wire.take_room = station.take_room
    while True:
        _receive(world, waiting)
        answers, begun = station.collect(), time.perf_counter()
        message = waiting.popleft() if waiting else None
        if message is not None and message[0] == EXECUTE:
            _serve_executor(world, message[1])
        elif message is not None:
            answers += station.handle(message)
        taken = time.perf_counter() - begun
        for answer in answers:
            wire.send(0, encode(answer))
        if message is not None and message[0] == END:
            wire.drain()
            return 0
        if message is None and not answers:
            station.wait(nap, hurried=wire.busy)
            continue
        nap.reset()
        if wire.busy and station.fileno() is None:
            wire.drain(_FLUSH * taken)


def _receive(world: World, waiting: deque[tuple[Any, ...]]) -> None:
    """Take in what has come; a CLOSE or END takes the place of the tasks before it."""
    for _, parts in world.wire.receive():
        message = decode(parts)
        if message[0] in (CLOSE, END):
            waiting.clear()
        waiting.append(message)
    world.wire.progress()


def _serve_executor(world: World, ranks: Sequence[int]) -> None:
    """Be a worker of mpi4py's executor until that is shut down."""
    from mpi4py.futures import MPICommExecutor

    comm = world.split(ranks)
    with MPICommExecutor(comm, root=0):
        pass
    comm.Free()
