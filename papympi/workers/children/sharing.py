"""How the ranks of a host share one template: it has a door, at which others ask for a template of their own, a copy.

The door is a socket in Linux's abstract namespace: it has no file, and is known by a name that nobody guesses. Only
processes of the same user are let in.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from papympi.workers.host import create_file

_PEER: Final = struct.Struct("=iII")
_COPIES_S: Final = 10.0
_ASK_S: Final = 5.0
"""How long who knocks may take to say what for."""


class Visitor(NamedTuple):
    """Who asks for a template: descriptors of its connection, of its environment in a file, and of its end (or -1)."""

    connection: int
    environment: int
    alive: int


class TemplateDoor:
    """The door of a template.

    Attributes:
        name: by which it is found; "" where there is no such thing.
        copies: process ids of the copies that were made for who knocked.
    """

    def __init__(self) -> None:
        self.name = ""
        self.copies: set[int] = set()
        self._listener: socket.socket | None = None
        with contextlib.suppress(OSError):
            listener = socket.socket(socket.AF_UNIX)
            name = f"papympi-{os.getpid()}-{os.urandom(16).hex()}"
            listener.bind(f"\0{name}")
            listener.listen(1024)
            listener.settimeout(_ASK_S)
            self._listener, self.name = listener, name

    def fileno(self) -> int:
        """Return a descriptor that is readable when somebody knocks; -1: nobody can."""
        return -1 if self._listener is None else self._listener.fileno()

    def let_in(self) -> Visitor | None:
        """Return who knocks; `None`: it is somebody else's process, or has gone."""
        assert self._listener is not None
        with contextlib.suppress(OSError):
            visitor = self._listener.accept()[0]
            with visitor:
                visitor.settimeout(_ASK_S)
                credentials = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
                _, user, _ = _PEER.unpack(credentials)
                _, descriptors, _, _ = socket.recv_fds(visitor, 1, 3, socket.MSG_CMSG_CLOEXEC)
                if user == os.getuid() and len(descriptors) > 1:
                    connection, environment, *alive = descriptors
                    return Visitor(connection, environment, alive[0] if alive else -1)
                for descriptor in descriptors:
                    os.close(descriptor)
        return None

    def await_copies(self, is_orphan: Callable[[], bool]) -> None:
        """Let nobody in any more, and wait until the copies have ended, which they do with the pool; not for ever."""
        self.close()
        deadline = time.monotonic() + _COPIES_S
        while self.copies and time.monotonic() < deadline and not is_orphan():
            for pid in list(self.copies):
                with contextlib.suppress(ChildProcessError):
                    if not os.waitpid(pid, os.WNOHANG)[0]:
                        continue
                self.copies.discard(pid)
            time.sleep(0.001)

    def close(self) -> None:
        """Let nobody in any more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def knock(name: str, alive: int, environment: dict[str, str]) -> socket.socket | None:
    """Return the connection to a copy of the template that has a door of this name; `None`: it is not to be had.

    Args:
        name: of the door.
        alive: a descriptor that tells of the end of this process, -1: there is none.
        environment: what the copy is to have.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as door:
        door.connect(f"\0{name}")
        ours, theirs = socket.socketpair()
        file = create_file("papympi-environment")
        os.pwrite(file, pickle.dumps(environment), 0)
        with theirs:
            socket.send_fds(door, [b"?"], [each for each in (theirs.fileno(), file, alive) if each >= 0])
        os.close(file)
        return ours
    return None


def take_environment(file: int) -> None:
    """Let this process, a copy of a template, have the environment of who has asked for it; the file is closed."""
    data = os.pread(file, os.fstat(file).st_size, 0)
    os.close(file)
    os.environ.clear()
    os.environ.update(pickle.loads(data))
