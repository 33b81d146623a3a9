"""The fork server: a small process of its own that makes a pool's children, and leaves nothing behind when it ends.

It is single-threaded, has imported all that most children need, and knows nothing of MPI. It forks a child when
it is asked to, reaps one only when it is asked to (until then no other process can have its id), and kills everything
below it when its parent says so, closes the connection, or is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path
from types import FrameType
from typing import Final

from papympi.workers.children.child import ChildDescriptors, work
from papympi.workers.host import adopt_orphans, die_with_parent, set_process_name

SPAWN: Final = 1
"""Fork a child, which gets the socket, the record and what else comes with the request: a sum of the numbers below.

Reply: its process id; or -1, errno.
"""
GIVEN: Final = {"arena": 1, "program": 2, "output": 4, "tracker": 8}
"""The other descriptors of a child, in the order in which they come: `ChildDescriptors`."""
REAP: Final = 2
"""Forget the child with this process id, which is dead. Reply: process id, wait status."""
END: Final = 3
"""Give the children so many milliseconds to leave, kill what is left, and end. Reply: none, the connection closes."""
CLEAR: Final = 4
"""As END, and go on serving. Reply: 0, 0."""
REQUEST: Final = struct.Struct("=Bq")
REPLY: Final = struct.Struct("=qq")

BOOT: Final = (
    "import sys; control, parent, alive = map(int, sys.argv[1:4]); sys.path[:] = sys.argv[4:]; del sys.argv[1:];"
    "from papympi.workers.children.server import main; main(control, parent, alive)"
)
"""What `python -c` runs; the children's `__main__` is empty. Arguments: control socket, parent, pidfd, `sys.path`."""

_CLOSE_ON_EXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_LOOK_S: Final = 0.5
"""How often a server without a pidfd looks whether its parent is there."""


class ForkServer:
    """The loop of the fork server and the children that it has not been asked to reap.

    Args:
        control: the connection to the parent.
        alive: a pidfd of the parent, -1 where there is no such thing. A closed connection alone does not say that the
            parent is gone: a copy of it, forked by user code, may hold the other end.
    """

    def __init__(self, control: socket.socket, parent: int, alive: int) -> None:
        self._control = control
        self._parent = parent
        self._alive = alive
        self._children: set[int] = set()

    def run(self) -> ChildDescriptors | None:
        """Serve until the parent ends it or is gone, and return `None`. Also returns in each child, with its given."""
        while (request := self._receive()) is not None:
            operation, argument, descriptors = request
            if operation == END:
                self._wait_children(argument / 1000)
                break
            if operation == SPAWN:
                given = self._spawn(argument, *descriptors)
                if given is not None:
                    return given
            elif operation == CLEAR:
                self._wait_children(argument / 1000)
                self.end()
                self._reply(0, 0)
            else:
                self._reap(argument)
        return None

    def end(self) -> None:
        """Kill every process below this one, and wait until there is none."""
        for pid in self._children:
            _kill_group(pid)
        while True:
            for pid in self._offspring():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                self._children.clear()
                return

    def _receive(self) -> tuple[int, int, list[int]] | None:
        """Return the next request, with the descriptors that came with it; `None`: the parent is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if self._alive >= 0:
            poll.register(self._alive, select.POLLIN)
        while True:
            ready = poll.poll(None if self._alive >= 0 else _LOOK_S * 1000)
            if self._is_orphan():
                return None
            if ready:
                break
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 2 + len(GIVEN), _CLOSE_ON_EXEC)
        except OSError:
            return None
        return (*REQUEST.unpack(data), descriptors) if len(data) == REQUEST.size else None

    def _is_orphan(self) -> bool:
        """Say whether the parent is gone."""
        if self._alive >= 0:
            return bool(select.select([self._alive], [], [], 0)[0])
        return os.getppid() != self._parent

    def _spawn(self, which: int, connection: int, record: int, *files: int) -> ChildDescriptors | None:
        """Fork a child; return its given in the child, `None` here."""
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            self._reply(-1, error.errno or 0)
        if pid == 0:
            self._become_child(server)
            names = [name for name, number in GIVEN.items() if which & number]
            return ChildDescriptors(socket.socket(fileno=connection), record, **dict(zip(names, files, strict=True)))
        for descriptor in (connection, record, *files):
            os.close(descriptor)
        if pid > 0:
            with contextlib.suppress(OSError):  # the child does it, too: whoever comes first
                os.setpgid(pid, pid)
            self._children.add(pid)
            self._reply(pid, 0)
        return None

    def _become_child(self, server: int) -> None:
        """Leave what belongs to the server, and arrange to die with it."""
        self._control.close()
        if self._alive >= 0:
            os.close(self._alive)
        signal.signal(signal.SIGTERM, _stay)
        os.register_at_fork(after_in_child=_leave)
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        set_process_name("papympi-worker")
        if os.getppid() != server:  # it died before the line above
            os._exit(1)

    def _reap(self, pid: int) -> None:
        """Let the process id of a dead child go, and tell how it ended; the same for what dead children left behind."""
        self._children.discard(pid)
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            status = 0
        self._reply(pid, status)
        for adopted in self._offspring():
            if adopted not in self._children:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(adopted, os.WNOHANG)

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


def _stay(_number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM pass by.

    Slurm, systemd and others send it to every process there is, and the runner decides what is finished. It is not
    ignored, as programs that a function starts would then ignore it, too.
    """


def _leave() -> None:
    """Let processes that a function forks be as others are."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _kill_group(pid: int) -> None:
    """Kill what is in a child's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main(control: int, parent: int, alive: int) -> None:
    """Run the server in this process, and its children in theirs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # srun sends what it passes on to every process of its step
        signal.signal(number, signal.SIG_IGN)
    adopt_orphans()
    set_process_name("papympi-server")
    gc.collect()
    gc.freeze()
    server = ForkServer(socket.socket(fileno=control), parent, alive)
    given = server.run()
    if given is None:
        server.end()
        return
    work(given)
    gc.unfreeze()  # or the interpreter's end would not close the files that globals hold: their module's dict is frozen
