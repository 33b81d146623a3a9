"""A template loads the script once, for all children of a host, where what it has loaded survives a fork."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from papympi.errors import PoolError, ShippingError
from papympi.plan.preparation import Preparation
from papympi.workers.children.client import ForkServerClient

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def run_script(tmp_path):
    """Run a guarded script and return what it prints; it may note each load in a file."""

    def run(text, *arguments):
        (tmp_path / "script.py").write_text(textwrap.dedent(text))
        done = subprocess.run(
            [sys.executable, "script.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Let a server load a module; return it."""
    monkeypatch.chdir(tmp_path)
    servers = []

    def load_text(text):
        (tmp_path / "to_load.py").write_text(textwrap.dedent(text))
        server = ForkServerClient("here")
        servers.append(server)
        server.start()
        server.load(Preparation(path=(str(tmp_path), *sys.path), loads="to_load"))
        return server

    yield load_text
    for server in servers:
        server.end(0)


def spawn(server):
    """Start a child, which ends at once as nobody is there; return its process id."""
    import socket

    from papympi.workers.evaluation.progress import create_record_file

    ours, theirs = socket.socketpair()
    record = create_record_file()
    with ours, theirs:
        pid = server.spawn(theirs, record)
    os.close(record)
    return pid


def spawn_for_ever(server):
    while True:
        spawn(server)
        time.sleep(0.01)


COUNTED = """
    import os, sys, time
    import papympi

    with open("loads", "a") as file:
        file.write("x")

    def look(number):
        time.sleep(0.05)
        return os.getpid()

    if __name__ == "__main__":
        print(len(set(papympi.map(look, range(40), pool=sys.argv[1]))))
        print(len(open("loads").read()))
"""


@pytest.mark.parametrize("pool", ["processes:3", "mpi:3"])
def test_loaded_once_a_host(run_script, pool):
    """The runner loads a script, and one process for all workers of the host, ranks or not."""
    assert run_script(COUNTED, pool) == ["3", "2"]


def test_each_loads_if_told(run_script):
    """With `load = "each"` every worker loads the script."""
    text = COUNTED.replace("pool=sys.argv[1]", "pool='work'").replace("papympi.map(", "run_all(")
    text = text.replace(
        "    def look(number):",
        """    def run_all(function, numbers, pool):
        graph = papympi.Graph()
        graph.node(pool="work", stride=1)(function)
        pools = {"work": {"backend": "processes", "workers": 3, "load": "each"}}
        return papympi.run({"number": numbers}, graph=graph, pools=pools)

    def look(number):""",
    )
    assert run_script(text) == ["3", "4"]


THREADS = {
    "a thread of Python": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
    "a pool of threads": "from concurrent.futures import ThreadPoolExecutor\n"
    "pool = ThreadPoolExecutor(1)\npool.submit(print).result()\n",
}


@pytest.mark.parametrize("text", THREADS.values(), ids=THREADS)
def test_threads_are_not_forked(load, text):
    """A script that has started threads is loaded by each worker, which is noted."""
    server = load(text)
    spawn(server)
    assert "it has started the thread" in server.notes[0]


def test_thread_that_can_be_ended_is(load):
    """The thread that would print tracebacks later is ended: a copy of the process waited for it as it ended."""
    server = load("import faulthandler\nfaulthandler.dump_traceback_later(1000)\n")
    spawn(server)
    assert not server.watched


def test_lock_that_nobody_opens(run_script):
    """A child that waits for a thread of the template is replaced by one that has loaded the script itself."""
    text = """
    import _thread, sys, threading, time
    import papympi

    LOCK = threading.Lock()

    def hold():
        while True:
            with LOCK:
                time.sleep(0.05)

    _thread.start_new_thread(hold, ())
    time.sleep(0.02)

    def look(number):
        while not LOCK.acquire(timeout=60):
            pass
        LOCK.release()
        return number

    if __name__ == "__main__":
        run = papympi.map(look, range(6), pool="processes:2")
        print(*run, "each for itself" in run.summary.notes[0])
    """
    assert run_script(text) == ["0 1 2 3 4 5 True"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("print('so far'); 1 / 0", "so far"),
        ("import sys; sys.exit('no')", "SystemExit: no"),
        ("import os; os._exit(7)", "exit code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ],
)
def test_load_that_fails(load, text, why):
    """Whatever a script does as it is loaded is told, and the server goes on."""
    server = load(text)
    with pytest.raises(ShippingError, match=why):
        spawn(server)
    assert server.is_alive()
    assert psutil.pid_exists(spawn(server))


def test_server_goes_on_after_a_pool(load):
    """When the pool is closed, the template ends, and the server serves the next one."""
    server = load("import os; open('load.pid', 'w').write(str(os.getpid()))")
    spawn(server)
    template = int(Path("load.pid").read_text())
    Path("load.pid").unlink()
    server.clear(1)
    assert psutil.pid_exists(spawn(server))
    assert not psutil.pid_exists(template)


def test_killed_template_is_an_error(load):
    """A template that is killed takes its children along, and the pool is told."""
    server = load("import os; open('load.pid', 'w').write(str(os.getpid()))")
    child = spawn(server)
    os.kill(int(Path("load.pid").read_text()), signal.SIGKILL)
    Path("load.pid").unlink()
    with pytest.raises(PoolError, match="fork server has ended"):
        spawn_for_ever(server)
    assert not psutil.pid_exists(child)


def test_end_while_it_loads(load):
    """A server that is ended while a script is loaded for ever is gone, and the template with it."""
    server = load("import os, time; open('load.pid', 'w').write(str(os.getpid())); time.sleep(1000)")
    while not Path("load.pid").exists() or not Path("load.pid").read_text():
        time.sleep(0.01)
    template = int(Path("load.pid").read_text())
    Path("load.pid").unlink()
    server.end(0)
    for _ in range(1000):
        if not psutil.pid_exists(template):
            return
        time.sleep(0.01)
    pytest.fail("the template is still there")
