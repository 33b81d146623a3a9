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
from papympi.workers.cell import Cell, create_cell_file
from papympi.workers.nursery import Nursery


@pytest.fixture
def nursery(find_children):
    """A running fork server; nothing may be left of it."""
    descriptors = psutil.Process().num_fds()
    server = Nursery("here")
    server.start()
    yield server
    server.end(0)
    assert find_children() == []
    assert psutil.Process().num_fds() == descriptors


class Child:
    """A child and the parent's ends of what it was given."""

    def __init__(self, nursery):
        self.socket, theirs = socket.socketpair()
        descriptor = create_cell_file()
        self.cell = Cell(descriptor)
        try:
            self.pid = nursery.spawn(theirs, descriptor)
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
        self.cell.close()


@pytest.fixture
def child(nursery):
    child = Child(nursery)
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
    assert child.cell.read().task is None


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


def test_exit_is_told_pid_stays(nursery):
    """Exit code and signal are told, and the pid stays until then."""
    for end, code in ((lambda _: os._exit(5), 5), (lambda _: os.kill(os.getpid(), signal.SIGALRM), -signal.SIGALRM)):
        child = Child(nursery)
        child.ask(("label", build(end), 0))
        child.ask(call(1, [0]))
        wait_for(lambda pid=child.pid: not is_running(pid))
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert child.cell.read()[:3] == (1, 0, 0)
        assert nursery.reap(child.pid) == code
        assert not psutil.pid_exists(child.pid)
        child.close()


def test_closed_child_ends(nursery):
    """A child ends by itself when its connection is closed."""
    child = Child(nursery)
    child.ask(("label", build(abs), 0))
    assert child.read() is None
    child.close()
    wait_for(lambda: not is_running(child.pid))
    assert nursery.reap(child.pid) == 0


def test_untold_child_ends_too(nursery):
    """A child that is told nothing ends, too."""
    child = Child(nursery)
    child.close()
    wait_for(lambda: not is_running(child.pid))
    assert nursery.reap(child.pid) == 0


def test_exit_handlers_run(nursery, tmp_path):
    """Exit handlers run when a child ends in peace."""

    def register(name):
        import atexit

        atexit.register((tmp_path / name).touch)

    child = Child(nursery)
    child.ask(("label", build(register), 0))
    assert child.read() is None
    child.ask(call(1, ["left"]))
    child.read()
    child.close()
    nursery.end(5)
    assert (tmp_path / "left").exists()


def test_last_words_come_home(child, nursery):
    child.ask(("label", b"no program", 0))
    words = child.read()
    assert words.startswith("Traceback")
    wait_for(lambda: not is_running(child.pid))
    assert nursery.reap(child.pid) == 1


def test_end_kills_who_stays(nursery):
    """End kills children that do not leave."""
    children = [Child(nursery) for _ in range(3)]
    for child in children:
        child.ask(("label", build(time.sleep), 0))
        child.ask(call(1, [100]))
        assert child.read() is None
    nursery.end(0.1)
    for child in children:
        assert not psutil.pid_exists(child.pid)
        child.close()


def test_zombies_are_reaped(nursery, find_children):
    """Zombies that a child leaves behind are reaped."""

    def leave(_):
        if os.fork() == 0:
            os.setsid()
            subprocess.Popen(["sleep", "0.05"])
            os._exit(0)
        os.wait()

    (server,) = find_children()
    first, second = Child(nursery), Child(nursery)
    for child in (first, second):
        child.ask(("label", build(leave), 0))
        assert child.read() is None
        child.ask(call(1, [0]))
        child.read()
        time.sleep(0.1)
        child.close()
        wait_for(lambda pid=child.pid: not is_running(pid))
    nursery.reap(first.pid)
    nursery.reap(second.pid)
    assert server.children() == []


def test_lone_server_ends(nursery, find_children):
    """A server without children ends when the connection is closed."""
    (server,) = find_children()
    nursery._control.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: not is_running(server.pid))
    with pytest.raises(PoolError, match="'here'"):
        Child(nursery)


def test_launcher_words_stay_out(monkeypatch):
    """Launcher variables do not reach the children."""
    names = ["PMI_RANK", "PMIX_ID", "OMPI_COMM_WORLD_RANK", "PRTE_X", "HYDI_X", "MPI_LOCALRANKID", "MPIR_X", "MPICH_X"]
    for name in names:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT", "1")
    nursery = Nursery("here")
    nursery.start()
    child = Child(nursery)
    child.ask(("label", build(os.getenv), 0))
    assert child.read() is None
    child.ask(call(1, [*names, "KEPT"]))
    assert values_of(child.read()) == [None] * len(names) + ["1"]
    child.close()
    nursery.end(1)


def test_missing_interpreter(monkeypatch):
    """An interpreter that does not exist is an error."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(PoolError, match="/nowhere/python"):
        Nursery("here").start()


def test_failed_server_is_an_error(monkeypatch, capfd):
    """A server that cannot start is an error."""
    monkeypatch.setattr(sys, "path", [])
    nursery = Nursery("here")
    nursery.start()
    try:
        with pytest.raises(PoolError, match="'here'.*standard error"):
            Child(nursery)
    finally:
        nursery.end(1)
    assert "Error" in capfd.readouterr().err


ORPHANS = """
    import os, signal, socket, sys, time
    from papympi.workers.cell import create_cell_file
    from papympi.workers.nursery import Nursery

    nursery = Nursery("here")
    nursery.start()
    ends = []
    for _ in range(3):
        ours, theirs = socket.socketpair()
        ends.append(ours)
        print(nursery.spawn(theirs, create_cell_file()), flush=True)
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
