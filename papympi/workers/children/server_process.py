"""A process that has children: it knows whose it is itself, reaps them, and ends whatever is below it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Final

from papympi.transport.doorbell import wait_readable

REPLY: Final = struct.Struct("=qq")


class ServerProcess:
    """The connection to the parent, and the children that it has not asked to reap.

    Args:
        control: the connection.
        alive: a pidfd of the parent, -1 where there is no such thing. A closed connection alone does not say that the
            parent is gone: a copy of it, forked by user code, may hold the other end.
    """

    def __init__(self, control: socket.socket, parent: int, alive: int) -> None:
        self._control = control
        self._parent = parent
        self._alive = alive
        self._children: set[int] = set()

    def end(self) -> None:
        """Kill every process below this one, and wait until there is none."""
        for pid in self._children:
            kill_group(pid)
        while True:
            for pid in self._offspring():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                self._children.clear()
                return

    def _is_orphan(self) -> bool:
        """Say whether the parent is gone."""
        if self._alive >= 0:
            return wait_readable([self._alive], 0)
        return os.getppid() != self._parent

    def _reply(self, first: int, second: int) -> None:
        """Answer a request; a parent that is gone is noticed elsewhere."""
        with contextlib.suppress(OSError):
            self._control.sendall(REPLY.pack(first, second))

    def _wait_children(self, grace: float) -> None:
        """Wait until the children have left by themselves, no longer than `grace` seconds."""
        deadline = time.monotonic() + grace
        while self._children and time.monotonic() < deadline and not self._is_orphan():
            for pid in list(self._children):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    self._children.discard(pid)
            time.sleep(0.001)

    def _offspring(self) -> set[int]:
        """Return the processes directly below this one: the children and, on Linux, what dead ones have left behind."""
        me = os.getpid()
        try:
            return set(map(int, Path(f"/proc/{me}/task/{me}/children").read_text().split()))
        except OSError:
            return set(self._children)


def kill_group(pid: int) -> None:
    """Kill what is in a child's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
