"""Rank 0 of local ranks: forwards messages between the socket of the user's process and the other ranks.

The user's process never loads MPI. It is at the other end of the socket (`local_job`); when that end is
gone, all ranks end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from pickle import PickleBuffer
from typing import Any, Final

from papympi.errors import LaunchError
from papympi.transport.doorbell import Backoff, wait_readable
from papympi.transport.frames import FrameReader, FrameWriter
from papympi.transport.memfile import drain
from papympi.transport.relaying import accept
from papympi.workers.children.citizen import keep_nothing
from papympi.workers.ranks.allocation import RankAllocator
from papympi.workers.ranks.messages import LeaveWorld, RankLeft, RanksStarted, from_parts, to_parts
from papympi.workers.ranks.worker import serve
from papympi.workers.ranks.world import World, attach, start_fork_server

BOOT: Final = (
    "import sys; path, ranks, isolates = sys.argv[1], *map(int, sys.argv[2:4]); sys.path[:] = sys.argv[4:];"
    "del sys.argv[1:]; from papympi.workers.ranks.relay import main; sys.exit(main(path, ranks, isolates))"
)
"""What each local rank runs. Arguments: the socket's path, the number of ranks, whether they are to isolate (1 or 0),
and the entries of `sys.path`."""

Frame = tuple[int, list[Any]] | list[int]
"""What the socket carries: a rank and the parts of its message, or the offsets of blocks that are free again."""
ORDERLY_S: Final = 5.0
"""How long ranks may take to finish what they are at."""
_HASTY_S: Final = 0.3
LONGEST_NAME: Final = 100
"""A socket's name may have a few bytes more than that, and no longer."""


def main(path: str, ranks: int, isolates: int) -> int:
    """Be one of the local ranks; return the exit code."""
    rank = os.environ.get("PMI_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK")
    fork_server = start_fork_server() if isolates and rank != "0" else None  # rank 0 only forwards
    try:
        world = attach(ranks, fork_server)
    except LaunchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    keep_nothing()
    code = world.protect(partial(serve, world) if world.rank else lambda: Relay(world, path).run())
    world.leave()
    return code


def make_path() -> str:
    """Return a path for a socket: on Linux a name without a file, of which nothing is left whoever dies."""
    if sys.platform == "linux":
        return f"@papympi-{secrets.token_hex(16)}"
    return str(Path(tempfile.mkdtemp(prefix="papympi-")) / "socket")


def drop_path(path: str) -> None:
    """Remove the folder of such a path, if it has one."""
    if not path.startswith("@"):
        shutil.rmtree(Path(path).parent, ignore_errors=True)


def is_own(connection: socket.socket) -> bool:
    """Say whether the other end of a connection is the same user's: a name without a file is open to everybody."""
    if sys.platform != "linux":
        return True  # the folder is private
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(user == os.geteuid())


@contextlib.contextmanager
def address(path: str) -> Iterator[str]:
    """Give a name for a socket's path that is short enough for sockets, as long as the block lasts."""
    if path.startswith("@"):
        yield f"\0{path[1:]}"
        return
    yield from _shorten(Path(path))


def _shorten(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= LONGEST_NAME:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Relay:
    """The two ends that are forwarded between: the ranks of a world, and the socket at `path`."""

    def __init__(self, world: World, path: str) -> None:
        world.ignore_signals()
        self._world = world
        self._wire = world.wire
        self._path = path
        self._sock = socket.socket(socket.AF_UNIX)
        self._ending = False

    def run(self) -> int:
        """Forward until the user's process says that it is the end, or is gone; return the exit code."""
        try:
            with address(self._path) as name:
                self._sock.connect(name)
            found = is_own(self._sock)
        except OSError:
            found = False
        if not found:  # it was killed before it could listen
            drop_path(self._path)
            self._dismiss(_HASTY_S)
            return 1
        try:
            self._begin()
            self._loop()
        except (EOFError, OSError):
            self._dismiss(_HASTY_S)
            return 1
        self._dismiss(ORDERLY_S, hasty=False)
        self._writer.put((0, to_parts(RankLeft())))
        writable = select.poll()
        writable.register(self._sock, select.POLLOUT)
        while not self._writer.flush():
            writable.poll()
        return 0

    def _begin(self) -> None:
        """Get hold of the memory through which big buffers travel, if there is any, and say which ranks there are."""
        self._blocks = accept(self._sock)
        if self._blocks is not None:
            self._wire.take_room = self._blocks.take_room
        self._sock.settimeout(0)
        self._reader = FrameReader(self._sock, self._blocks)
        self._writer = FrameWriter(self._sock, self._blocks)
        self._writer.put((0, to_parts(RanksStarted(self._world.hosts))))

    def _loop(self) -> None:
        """Forward until the end is said; between two looks that find nothing, wait on the socket."""
        backoff = Backoff(self._world.crowd)
        while not self._ending:
            if self._forward():
                backoff.reset()
                continue
            if self._wire.busy:
                backoff.reset()
            pause = backoff.next()
            if pause:
                wait_readable([self._sock.fileno()], pause)
            else:
                backoff.give_way()

    def _forward(self) -> bool:
        """Forward what has come to either end; return whether anything had."""
        self._wire.progress()
        frames: list[Frame] = self._reader.read()
        for frame in frames:
            if isinstance(frame, list):
                assert self._blocks is not None
                self._blocks.give(frame)
                continue
            rank, parts = frame
            if rank:
                self._wire.send(rank, parts)
            else:
                self._ending = isinstance(from_parts(parts), LeaveWorld)
        answers = self._wire.receive()
        for rank, parts in answers:
            self._writer.put((rank, [PickleBuffer(part) for part in parts]))
        if self._blocks is not None and self._blocks.returned:
            self._writer.put(drain(self._blocks.returned))
        self._writer.flush()
        return bool(frames or answers)

    def _dismiss(self, patience_s: float, *, hasty: bool = True) -> None:
        """Send the ranks home; abort those that do not go."""
        if not RankAllocator(self._world).dismiss(patience_s, hasty=hasty):
            self._world.abort(1)
