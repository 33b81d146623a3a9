"""The parent's end of the fork server: where children come from."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import Final

from papympi.errors import PoolError
from papympi.workers.children import server

_LAUNCHER: Final = ("PMI", "PMIX", "OMPI_", "PRTE", "HYD", "MPI_LOCAL", "MPIR", "MPICH", "PALS_")
"""Variables of MPI launchers: a child that has them and imports `mpi4py.MPI` takes itself for a rank of this job."""
ANSWER_S: Final = 30.0
"""How long the fork server may take to answer, and a child to end once it was killed, before it is given up."""


class ForkServerClient:
    """A pool's fork server, as the pool sees it: starts it, asks it for children, ends it.

    Attributes:
        owner: the pool that it belongs to, for messages.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; it is not waited for."""
        control, theirs = socket.socketpair()
        control.settimeout(ANSWER_S)
        alive = open_pidfd(os.getpid())
        descriptors = [descriptor for descriptor in (theirs.fileno(), alive) if descriptor >= 0]
        numbers = map(str, (theirs.fileno(), os.getpid(), alive))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_LAUNCHER)}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", server.BOOT, *numbers, *sys.path],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except OSError as error:
            control.close()
            raise PoolError(f"pool {self.owner!r}: cannot start {sys.executable!r}: {error}") from error
        finally:
            theirs.close()
            if alive >= 0:
                os.close(alive)
        self._control = control

    def spawn(self, connection: socket.socket, record: int, **others: int | None) -> int:
        """Return the process id of a new child that has got `connection`, its record, and others of `server.GIVEN`."""
        given = {name: descriptor for name in server.GIVEN if (descriptor := others.get(name)) is not None}
        which = sum(server.GIVEN[name] for name in given)
        pid, error = self._ask(server.SPAWN, which, [connection.fileno(), record, *given.values()])
        if pid < 0:
            raise PoolError(f"pool {self.owner!r}: cannot start another worker: {os.strerror(error)}")
        return pid

    def reap(self, pid: int) -> int:
        """Return the exit code of a dead child (negative: a signal), and kill what it left in its group."""
        _, status = self._ask(server.REAP, pid)
        return os.waitstatus_to_exitcode(status)

    def is_alive(self) -> bool:
        """Say whether the server runs; its children do not outlive it."""
        return self._process is not None and self._process.poll() is None

    def clear(self, grace: float) -> None:
        """Give the children `grace` seconds to leave, and end everything below the server, which stays."""
        with contextlib.suppress(PoolError):  # it is gone, and everything below it, too
            self._ask(server.CLEAR, int(grace * 1000))

    def end(self, grace: float) -> None:
        """Give the children `grace` seconds to leave, end the server and everything below it, wait until it is gone."""
        control, process = self._control, self._process
        self._control = self._process = None
        if control is None or process is None:
            return
        with contextlib.suppress(OSError):
            control.sendall(server.REQUEST.pack(server.END, int(grace * 1000)))
            control.settimeout(grace + ANSWER_S)
            while control.recv(64):  # the connection closes when the server ends; a reply may be left over
                pass
        control.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, operation: int, argument: int, descriptors: list[int] | None = None) -> tuple[int, int]:
        """Send a request and return the reply."""
        if self._control is None:
            raise PoolError(f"pool {self.owner!r} is closed")
        try:
            socket.send_fds(self._control, [server.REQUEST.pack(operation, argument)], descriptors or [])
            reply = self._control.recv(server.REPLY.size, socket.MSG_WAITALL)
        except TimeoutError as error:
            raise PoolError(f"pool {self.owner!r}: its fork server does not answer") from error
        except ConnectionError:
            reply = b""
        if len(reply) < server.REPLY.size:
            raise PoolError(f"pool {self.owner!r}: its fork server has ended; standard error may say why")
        first, second = server.REPLY.unpack(reply)
        return first, second


def open_pidfd(pid: int) -> int:
    """Return a descriptor that is readable once a process has ended; -1 where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1
