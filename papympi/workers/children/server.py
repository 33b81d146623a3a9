"""The fork server: a small process of its own that makes a pool's children, and leaves nothing behind when it ends.

It is single-threaded, has imported all that most children need, and knows nothing of MPI. It forks a child when
it is asked to, reaps one only when it is asked to (until then no other process can have its id), and kills everything
below it when its parent says so, closes the connection, or is gone. Asked to load the user's script, it forks a copy
that does so and then serves in its place (`template`), until the pool is closed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import socket
import struct
from typing import Final

from papympi.transport.doorbell import wait_readable
from papympi.workers.children import birth, template
from papympi.workers.children.child import ChildDescriptors
from papympi.workers.children.server_process import ServerProcess, kill_group
from papympi.workers.children.sharing import TemplateDoor, take_environment
from papympi.workers.host import adopt_orphans, die_with_parent, open_pidfd, set_process_name, tell_end

SPAWN: Final = 1
"""Fork a child, which gets the socket, the record and what else comes with the request: a sum of `birth.GIVEN`.

Reply: its process id; or -1, errno.
"""
REAP: Final = 2
"""Forget the child with this process id, which is dead. Reply: process id, wait status."""
END: Final = 3
"""Give the children so many milliseconds to leave, kill what is left, and end. Reply: none, the connection closes."""
CLEAR: Final = 4
"""As END, and go on serving. Reply: 0, 0."""
LOAD: Final = 5
"""Be a template from now on: load the script that is described in the memory file that comes with the request.

Reply: how that went, the number of threads (`template.LoadReport`); the memory file then says why not. A template that
should not be forked is given up, and children load the script themselves.
"""
REQUEST: Final = struct.Struct("=Bq")

BOOT: Final = (
    "import sys; control, parent, alive = map(int, sys.argv[1:4]); sys.path[:] = sys.argv[4:]; del sys.argv[1:];"
    "from papympi.workers.children.server import main; main(control, parent, alive)"
)
"""What `python -c` runs; the children's `__main__` is empty. Arguments: control socket, parent, pidfd, `sys.path`."""

_GIVEN_UP: Final = 3
"""The exit code of a template after which the server goes on by itself."""
_CLOSE_ON_EXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_LOOK_S: Final = 0.5
"""How often a server without a pidfd looks whether its parent is there."""


class ForkServer(ServerProcess):
    """The loop of the fork server, and of a template that stands in for it."""

    def __init__(self, control: socket.socket, parent: int, alive: int) -> None:
        super().__init__(control, parent, alive)
        self._is_template = False
        self._door: TemplateDoor | None = None

    def run(self) -> ChildDescriptors | None:
        """Serve until the parent ends it or is gone, and return `None`. Also returns in each child, with its given."""
        goes_on = True
        while goes_on and (request := self._receive()) is not None:
            operation, argument, descriptors = request
            if operation == SPAWN:
                given = self._spawn(argument, *descriptors)
                if given is not None:
                    return given
            elif operation == REAP:
                self._reap(argument)
            elif operation == CLEAR:
                self._clear(argument / 1000)
            elif operation == LOAD:
                goes_on = self._load(*descriptors)
            else:
                self._wait_children(argument / 1000)
                goes_on = False
        self._give_up(0)
        return None

    def _load(self, file: int) -> bool:
        """Fork a template; return in it, and here when it is given up. `False`: it has come to the end."""
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_template(server, file)
            return True
        code = self._await_template(pid)
        if code not in (0, _GIVEN_UP) and os.pread(file, 1, 0)[:1] == pickle.PROTO:
            text = f"it ended with {tell_end(code, 0)} while it was loaded"
            _write(file, text)
            self._reply(template.FAILED, 0)
            code = _GIVEN_UP
        os.close(file)
        return code == _GIVEN_UP

    def _await_template(self, pid: int) -> int:
        """Wait until a template has ended, which serves meanwhile; return its exit code. It ends with the parent."""
        end = open_pidfd(pid)
        while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            wait_readable([each for each in (end, self._alive) if each >= 0], None if end >= 0 else _LOOK_S)
            if self._is_orphan():
                kill_group(pid)
        if end >= 0:
            os.close(end)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _become_template(self, server: int, file: int) -> None:
        """Load the script, tell how that went, and serve."""
        self._is_template = True
        if self._alive < 0:
            self._parent = server
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        adopt_orphans()
        signal.signal(signal.SIGTERM, birth.stay)
        os.register_at_fork(after_in_child=birth.leave)
        report = template.load_script(_read(file))
        if report.status == template.LOADED:
            self._door = TemplateDoor()
        _write(file, report.text if self._door is None else self._door.name)
        os.close(file)
        self._reply(report.status, report.threads)
        if report.status != template.LOADED:
            self._give_up()

    def _let_in(self, door: TemplateDoor) -> bool:
        """Fork a copy of this template for who has knocked; return whether this is the copy."""
        visitor = door.let_in()
        if visitor is None:
            return False
        template_pid = os.getpid()
        pid = os.fork()
        if pid > 0:
            door.copies.add(pid)
            os.close(visitor.connection)
            os.close(visitor.environment)
            if visitor.alive >= 0:
                os.close(visitor.alive)
            return False
        door.close()
        self._door = None
        self._children.clear()
        template.leave_end()
        take_environment(visitor.environment)
        self._control.close()
        if self._alive >= 0:
            os.close(self._alive)
        self._control, self._alive = socket.socket(fileno=visitor.connection), visitor.alive
        self._parent = template_pid
        signal.signal(signal.SIGTERM, birth.stay)  # a fork lets go of that
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        adopt_orphans()
        return True

    def _clear(self, grace: float) -> None:
        """End the children, and this process if it is a template."""
        self._wait_children(grace)
        if self._door is not None:
            self._door.await_copies(self._is_orphan)
        self.end()
        self._reply(0, 0)
        self._give_up()

    def _give_up(self, code: int = _GIVEN_UP) -> None:
        """End this process, if it is a template; by the usual code the server goes on by itself."""
        if self._is_template:
            self.end()
            template.call_at_end()
            os._exit(code)

    def _receive(self) -> tuple[int, int, list[int]] | None:
        """Return the next request, with the descriptors that came with it; `None`: the parent is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if self._alive >= 0:
            poll.register(self._alive, select.POLLIN)
        if self._door is not None and self._door.fileno() >= 0:
            poll.register(self._door, select.POLLIN)
        while True:
            ready = poll.poll(None if self._alive >= 0 else _LOOK_S * 1000)
            if self._is_orphan():
                return None
            numbers = {number for number, _ in ready}
            if self._door is not None and self._door.fileno() in numbers and self._let_in(self._door):
                return self._receive()
            if self._control.fileno() in numbers:
                break
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 2 + len(birth.GIVEN), _CLOSE_ON_EXEC)
        except OSError:
            return None
        return (*REQUEST.unpack(data), descriptors) if len(data) == REQUEST.size else None

    def _spawn(self, which: int, connection: int, record: int, *files: int) -> ChildDescriptors | None:
        """Fork a child; return its given in the child, `None` here."""
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            self._reply(-1, error.errno or 0)
        if pid == 0:
            if self._door is not None:
                self._door.close()
            self._become_child(server)
            if which & birth.FRESH:
                birth.begin_anew(which & ~birth.FRESH, connection, record, *files)
            return birth.find_given(which, connection, record, *files)
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
        signal.signal(signal.SIGTERM, birth.stay)
        os.register_at_fork(after_in_child=birth.leave)
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


def _read(file: int) -> bytes:
    """Return what a memory file holds."""
    return os.pread(file, os.fstat(file).st_size, 0)


def _write(file: int, text: str) -> None:
    """Let a memory file hold a text instead."""
    os.ftruncate(file, 0)
    os.pwrite(file, text.encode(errors="replace"), 0)


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
    with socket.socket(fileno=control) as connection:
        server = ForkServer(connection, parent, alive)
        given = server.run()
        if given is None:
            server.end()
            return
    birth.begin_work(given)
