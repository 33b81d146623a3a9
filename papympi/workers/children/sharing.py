"""How the ranks of a host share one template: it has a door, at which others ask for a template of their own, a copy.

The door is a socket in Linux's abstract namespace: it has no file, and is known by a name that nobody guesses. Only
processes of the same user are let in.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

_PEER: Final = struct.Struct("=iII")
_COPIES_S: Final = 10.0
_ASK_S: Final = 5.0
"""How long who knocks may take to say what for."""


class Visitor(NamedTuple):
    """Who asks for a template: its process, and the descriptors of the connection and of its end."""

    pid: int
    connection: int
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
                pid, user, _ = _PEER.unpack(credentials)
                _, descriptors, _, _ = socket.recv_fds(visitor, 1, 2, socket.MSG_CMSG_CLOEXEC)
                if user == os.getuid() and descriptors:
                    return Visitor(pid, descriptors[0], descriptors[1] if len(descriptors) > 1 else -1)
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


def knock(name: str, alive: int) -> socket.socket | None:
    """Return the connection to a copy of the template that has a door of this name; `None`: it is not to be had.

    Args:
        name: of the door.
        alive: a descriptor that tells of the end of this process, -1: there is none.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as door:
        door.connect(f"\0{name}")
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(door, [b"?"], [each for each in (theirs.fileno(), alive) if each >= 0])
        return ours
    return None
