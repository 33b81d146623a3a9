"""The parent's end of the fork server: where children come from."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
from typing import Final

from papympi.errors import PoolError, ShippingError
from papympi.plan.preparation import Preparation
from papympi.script.interpreter import list_flags, make_environment
from papympi.workers.children import birth, server, template
from papympi.workers.children.server_process import REPLY
from papympi.workers.children.sharing import knock
from papympi.workers.cpus import place_on
from papympi.workers.host import create_file, open_pidfd

_LAUNCHER: Final = ("PMI", "PMIX", "OMPI_", "PRTE", "HYD", "MPI_LOCAL", "MPIR", "MPICH", "PALS_")
"""Variables of MPI launchers: a child that has them and imports `mpi4py.MPI` takes itself for a rank of this job."""
_NOTE: Final = "pool {!r}: workers have loaded the script each for itself"
ANSWER_S: Final = 30.0
"""How long the fork server may take to answer, and a child to end once it was killed, before it is given up."""


class ForkServerClient:
    """A pool's fork server, as the pool sees it: starts it, asks it for children, ends it.

    Attributes:
        owner: the pool that it belongs to, for messages.
        watched: its children come from a template with threads beside the main one: they may wait for these in vain.
        door: the name at which others of this host get a copy of the template; "": there is none.
        notes: what the summary has to say of it.
        cpus: which CPUs its children use; empty: those of the server that forks them.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.watched = False
        self.door = ""
        self.notes: list[str] = []
        self.cpus = frozenset[int]()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._loading: int | None = None
        self._home: socket.socket | None = None
        self._is_fresh = False
        self._begun_with: tuple[list[str], dict[str, str]] = [], {}

    def start(self) -> None:
        """Start the server, unless it is there; it is not waited for."""
        if self._control is not None:
            return
        control, theirs = socket.socketpair()
        control.settimeout(ANSWER_S)
        alive = open_pidfd(os.getpid())
        self._begun_with = path, environment = [*sys.path], _find_environment()
        descriptors = [descriptor for descriptor in (theirs.fileno(), alive) if descriptor >= 0]
        numbers = map(str, (theirs.fileno(), os.getpid(), alive))
        try:
            self._process = subprocess.Popen(
                [sys.executable, *list_flags(), "-c", server.BOOT, *numbers, *path],
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

    def is_as_now(self) -> bool:
        """Return whether a server that was started now would begin as this one has."""
        return self._begun_with == ([*sys.path], _find_environment())

    def load(self, preparation: Preparation) -> None:
        """Let the server load the script from now on, so that children are forked with it; it is not waited for."""
        if self._loading is not None or self._control is None:
            return
        with contextlib.ExitStack() as stack:
            file = create_file("papympi-script")
            stack.callback(os.close, file)
            with open(file, "wb", closefd=False) as stream:
                pickle.dump(preparation, stream, 5)
            with contextlib.suppress(OSError):  # that it has ended will be noticed
                socket.send_fds(self._control, [server.REQUEST.pack(server.LOAD, 0)], [file])
            self._loading = file
            stack.pop_all()

    def join(self, door: str) -> bool:
        """Let children come from a copy of another server's template until `clear`; return whether that can be."""
        alive = open_pidfd(os.getpid())
        try:
            control = knock(door, alive, _find_environment())
        finally:
            if alive >= 0:
                os.close(alive)
        if control is None:
            return False
        control.settimeout(ANSWER_S)
        self._home, self._control = self._control, control
        return True

    def _await_load(self) -> None:
        """Wait until the script is loaded, if it is being loaded.

        Raises:
            ShippingError: it cannot be loaded; says why.
        """
        file = self._loading
        if file is None or self._control is None:
            return
        self._control.settimeout(None)  # whoever imports from a crowded file system waits for long
        status, threads = self._receive()
        self._control.settimeout(ANSWER_S)
        text = os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")
        self._loading = None
        os.close(file)
        if status == template.FAILED:
            raise ShippingError(f"pool {self.owner!r}: its workers cannot load the script:\n{text}")
        if status == template.RISKY:
            self.notes.append(f"{_NOTE.format(self.owner)}: {text}")
        if status == template.LOADED:
            self.watched, self.door = threads > 0, text

    def spawn(self, connection: socket.socket, record: int, **others: int | None) -> int:
        """Return the process id of a new child that has got `connection`, its record, and others of `birth.GIVEN`."""
        self._await_load()
        given = {name: descriptor for name in birth.GIVEN if (descriptor := others.get(name)) is not None}
        which = birth.FRESH * self._is_fresh + sum(birth.GIVEN[name] for name in given)
        pid, error = self._ask(server.SPAWN, which, [connection.fileno(), record, *given.values()])
        if pid < 0:
            raise PoolError(f"pool {self.owner!r}: cannot start another worker: {os.strerror(error)}")
        if self.cpus:
            place_on(pid, self.cpus)
        return pid

    def stop_forking(self) -> None:
        """Let every further child be a Python of its own, which loads the script itself."""
        if not self._is_fresh:
            self.notes.append(f"{_NOTE.format(self.owner)}: one that was forked with it waited for a thread in vain")
        self._is_fresh, self.watched = True, False

    def reap(self, pid: int) -> int:
        """Return the exit code of a dead child (negative: a signal), and kill what it left in its group."""
        _, status = self._ask(server.REAP, pid)
        return os.waitstatus_to_exitcode(status)

    def is_guest(self) -> bool:
        """Say whether children come from a template of another process."""
        return self._home is not None

    def is_alive(self) -> bool:
        """Say whether the server runs; its children do not outlive it."""
        return self._process is not None and self._process.poll() is None

    def clear(self, grace: float) -> None:
        """Give the children `grace` seconds to leave, and end everything below the server, which stays."""
        with contextlib.suppress(PoolError, ShippingError):  # it is gone, and everything below it, too
            self._await_load()
            self._ask(server.CLEAR, int(grace * 1000))
        self._return_home()
        self.door = ""

    def _return_home(self) -> None:
        """Go back to the own server, which has served nobody meanwhile."""
        if self._home is not None and self._control is not None:
            self._control.close()
            self._control, self._home = self._home, None

    def end(self, grace: float) -> None:
        """Give the children `grace` seconds to leave, end the server and everything below it, wait until it is gone."""
        self._return_home()
        control, process, loading = self._control, self._process, self._loading
        self._control = self._process = self._loading = None
        if control is None or process is None:
            return
        if loading is not None:  # it does not listen before the script is loaded
            os.close(loading)
            process.kill()
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
        with contextlib.suppress(ConnectionError):  # there will be no reply, either
            socket.send_fds(self._control, [server.REQUEST.pack(operation, argument)], descriptors or [])
        return self._receive()

    def _receive(self) -> tuple[int, int]:
        """Return a reply."""
        assert self._control is not None
        try:
            reply = self._control.recv(REPLY.size, socket.MSG_WAITALL)
        except TimeoutError as error:
            raise PoolError(f"pool {self.owner!r}: its fork server does not answer") from error
        except ConnectionError:
            reply = b""
        if len(reply) < REPLY.size:
            raise PoolError(f"pool {self.owner!r}: its fork server has ended; standard error may say why")
        first, second = REPLY.unpack(reply)
        return first, second


def _find_environment() -> dict[str, str]:
    """Return the environment of children: that of this process, but for what its launcher has told it."""
    return make_environment({name: value for name, value in os.environ.items() if not name.startswith(_LAUNCHER)})
