"""The fork server: children on request, process ids that stay valid, and nothing left whoever dies."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from papympi.errors import PoolError
from papympi.plan.program import Argument, Call, Program, Stage
from papympi.testing.driver import build_task as call
from papympi.transport import frames
from papympi.transport.ship import pack_program
from papympi.transport.task import Outcome, Task
from papympi.workers.children.client import ForkServerClient
from papympi.workers.evaluation.progress import SharedProgressRecord, create_record_file


@pytest.fixture
def fork_server(find_children):
    """A running fork server; nothing may be left of it."""
    descriptors = psutil.Process().num_fds()
    server = ForkServerClient("here")
    server.start()
    yield server
    server.end(0)
    assert find_children() == []
    assert psutil.Process().num_fds() == descriptors


class Child:
    """A child and the parent's ends of what it was given."""

    def __init__(self, fork_server):
        self.socket, theirs = socket.socketpair()
        descriptor = create_record_file()
        self.record = SharedProgressRecord(descriptor)
        try:
            self.pid = fork_server.spawn(theirs, descriptor)
        except PoolError:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(descriptor)
        self.reader = frames.FrameReader(self.socket)

    def ask(self, message):
        frames.send(self.socket, message.to_wire() if isinstance(message, Task) else message)

    def read(self):
        while not (messages := self.reader.read()):
            pass
        (message,) = messages
        return message

    def close(self):
        self.socket.close()
        self.record.close()


@pytest.fixture
def child(fork_server):
    child = Child(fork_server)
    yield child
    child.close()


def build(function):
    stage = Stage("map", 1, (Call("f", function, (Argument(0),)),), (1,))
    return pack_program(Program({0: stage}, by_value=("__main__", __name__)))


def values_of(message):
    (output,) = Outcome.from_wire(message).outputs
    return [value for payload in output.payloads for value in payload.values()]


def wait_for(claim, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_child_loads_and_works(child, find_children):
    """A child loads the program and works."""
    look = build(lambda x: (x, os.getpid(), os.getppid(), sys.modules["__main__"].__dict__.get("main")))
    child.ask(("label", look, 0))
    assert child.read() is None
    child.ask(call(1, [7]))
    ((x, pid, parent, _),) = values_of(child.read())
    assert (x, pid) == (7, child.pid)
    assert parent == find_children()[0].pid
    assert child.record.read().task is None


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_passed_signal_ends_nobody(child, number):
    """A signal that a launcher passes on to every process ends nobody."""
    child.ask(
        (
            "label",
            build(lambda x: subprocess.run(["sh", "-c", f"kill -{x} $$; echo here"], stdout=-1, check=True).stdout),
            0,
        )
    )
    assert child.read() is None
    os.kill(child.pid, number)
    os.kill(psutil.Process(child.pid).ppid(), number)
    child.ask(call(1, [int(number)]))
    assert values_of(child.read()) == [b"here\n"]


def test_sigterm_ends_what_was_started(child):
    """SIGTERM ends no child, but the programs and processes that a function starts."""

    def start(how):
        if how == "program":
            return subprocess.run(["sh", "-c", "kill -TERM $$; echo here"], check=False).returncode
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    child.ask(("label", build(start), 0))
    assert child.read() is None
    os.kill(child.pid, signal.SIGTERM)
    child.ask(call(1, ["program", "fork"]))
    assert values_of(child.read()) == [-signal.SIGTERM] * 2


def test_exit_is_told_pid_stays(fork_server):
    """Exit code and signal are told, and the pid stays until then."""
    for end, code in ((lambda _: os._exit(5), 5), (lambda _: os.kill(os.getpid(), signal.SIGALRM), -signal.SIGALRM)):
        child = Child(fork_server)
        child.ask(("label", build(end), 0))
        child.ask(call(1, [0]))
        wait_for(lambda pid=child.pid: not is_running(pid))
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert child.record.read()[:3] == (1, 0, 0)
        assert fork_server.reap(child.pid) == code
        assert not psutil.pid_exists(child.pid)
        child.close()


def test_closed_child_ends(fork_server):
    """A child ends by itself when its connection is closed."""
    child = Child(fork_server)
    child.ask(("label", build(abs), 0))
    assert child.read() is None
    child.close()
    wait_for(lambda: not is_running(child.pid))
    assert fork_server.reap(child.pid) == 0


def test_untold_child_ends_too(fork_server):
    """A child that is told nothing ends, too."""
    child = Child(fork_server)
    child.close()
    wait_for(lambda: not is_running(child.pid))
    assert fork_server.reap(child.pid) == 0


def test_exit_handlers_run(fork_server, tmp_path):
    """Exit handlers run when a child ends in peace."""

    def register(name):
        import atexit

        atexit.register((tmp_path / name).touch)

    child = Child(fork_server)
    child.ask(("label", build(register), 0))
    assert child.read() is None
    child.ask(call(1, ["left"]))
    child.read()
    child.close()
    fork_server.end(5)
    assert (tmp_path / "left").exists()


def test_last_words_come_home(child, fork_server):
    child.ask(("label", b"no program", 0))
    words = child.read()
    assert words.startswith("Traceback")
    wait_for(lambda: not is_running(child.pid))
    assert fork_server.reap(child.pid) == 1


def test_end_kills_who_stays(fork_server):
    """End kills children that do not leave."""
    children = [Child(fork_server) for _ in range(3)]
    for child in children:
        child.ask(("label", build(time.sleep), 0))
        child.ask(call(1, [100]))
        assert child.read() is None
    fork_server.end(0.1)
    for child in children:
        assert not psutil.pid_exists(child.pid)
        child.close()


def test_zombies_are_reaped(fork_server, find_children):
    """Zombies that a child leaves behind are reaped."""

    def leave(_):
        if os.fork() == 0:
            os.setsid()
            subprocess.Popen(["sleep", "0.05"])
            os._exit(0)
        os.wait()

    (server,) = find_children()
    first, second = Child(fork_server), Child(fork_server)
    for child in (first, second):
        child.ask(("label", build(leave), 0))
        assert child.read() is None
        child.ask(call(1, [0]))
        child.read()
        time.sleep(0.1)
        child.close()
        wait_for(lambda pid=child.pid: not is_running(pid))
    fork_server.reap(first.pid)
    fork_server.reap(second.pid)
    assert server.children() == []


def test_lone_server_ends(fork_server, find_children):
    """A server without children ends when the connection is closed."""
    (server,) = find_children()
    fork_server._control.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: not is_running(server.pid))
    with pytest.raises(PoolError, match="'here'"):
        Child(fork_server)


def test_launcher_words_stay_out(monkeypatch):
    """Launcher variables do not reach the children."""
    names = ["PMI_RANK", "PMIX_ID", "OMPI_COMM_WORLD_RANK", "PRTE_X", "HYDI_X", "MPI_LOCALRANKID", "MPIR_X", "MPICH_X"]
    for name in names:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT", "1")
    fork_server = ForkServerClient("here")
    fork_server.start()
    child = Child(fork_server)
    child.ask(("label", build(os.getenv), 0))
    assert child.read() is None
    child.ask(call(1, [*names, "KEPT"]))
    assert values_of(child.read()) == [None] * len(names) + ["1"]
    child.close()
    fork_server.end(1)


def test_missing_interpreter(monkeypatch):
    """An interpreter that does not exist is an error."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(PoolError, match="/nowhere/python"):
        ForkServerClient("here").start()


def test_failed_server_is_an_error(monkeypatch, capfd):
    """A server that cannot start is an error."""
    monkeypatch.setattr(sys, "path", [])
    fork_server = ForkServerClient("here")
    fork_server.start()
    try:
        with pytest.raises(PoolError, match="'here'.*standard error"):
            Child(fork_server)
    finally:
        fork_server.end(1)
    assert "Error" in capfd.readouterr().err


ORPHANS = """
    import os, signal, socket, sys, time
    from papympi.workers.evaluation.progress import create_record_file
    from papympi.workers.children.client import ForkServerClient

    fork_server = ForkServerClient("here")
    fork_server.start()
    ends = []
    for _ in range(3):
        ours, theirs = socket.socketpair()
        ends.append(ours)
        print(fork_server.spawn(theirs, create_record_file()), flush=True)
    os.fork()  # the copy holds the control socket
    time.sleep(100)
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_killed_parent_takes_all(tmp_path, stopped):
    """A killed parent takes server and children with it."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(ORPHANS))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True)
    with parent:
        pids = [int(parent.stdout.readline()) for _ in range(3)]
        server = psutil.Process(pids[0]).ppid()
        wait_for(lambda: len(psutil.Process(parent.pid).children()) == 2)
        (copy,) = {process.pid for process in psutil.Process(parent.pid).children()} - {server}
        if stopped:
            os.kill(pids[1], signal.SIGSTOP)
        parent.kill()
        wait_for(lambda: not any(map(is_running, [server, *pids])))
        os.kill(copy, signal.SIGKILL)
