"""Where programs live that call papympi: a notebook's kernel, and pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

BOOK = """
import itertools, pathlib, sys, time
from papympi import node, run

@node(stride=1)
def moved(number):
    return number + offset

offset = 10
"""
SLOW = """
@node(stride=1)
def moved(number):
    pathlib.Path("began").touch()
    time.sleep(3600)

results = run({"number": itertools.count()})
next(results)
"""
AGAIN = """
@node
def moved(number):
    return number * offset

offset = 100
print(list(run({"number": range(4)})))
"""


class Book:
    """A kernel of Jupyter, in which cells are run one after the other."""

    def __init__(self, folder):
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager(transport="ipc", connection_file=str(folder / "kernel.json"))
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=40)

    def begin(self, cell):
        """Ask for a cell to be run."""
        return self.client.execute(cell)

    def finish(self, request):
        """Return what a cell has written, and the name of the exception that ended it, once it has ended."""
        written = []
        while True:
            message = self.client.get_iopub_msg(timeout=40)
            if message["parent_header"].get("msg_id") == request:
                if message["msg_type"] == "stream":
                    written.append(message["content"]["text"])
                elif message["content"].get("execution_state") == "idle":
                    break
        reply = self.client.get_shell_msg(timeout=40)
        while reply["parent_header"].get("msg_id") != request:
            reply = self.client.get_shell_msg(timeout=40)
        return "".join(written), reply["content"].get("ename", "")

    def close(self):
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Return a kernel in an empty folder."""
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    made = Book(tmp_path)
    yield made
    made.close()


@pytest.mark.filterwarnings("default")  # what other people's kernels warn of
@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_notebook_cell_interrupted(book, pool, tmp_path):
    """A notebook whose cell is interrupted and whose node is defined anew."""
    assert book.finish(book.begin(f"import os\nos.environ['PAPYMPI_POOLS'] = '*={pool}:2'{BOOK}")) == ("", "")
    assert book.finish(book.begin("print(list(run({'number': range(4)})))")) == ("[10, 11, 12, 13]\n", "")
    request = book.begin(SLOW)
    while not (tmp_path / "began").exists():
        time.sleep(0.02)
    workers = psutil.Process(book.manager.provisioner.pid).children(recursive=True)
    assert workers
    book.manager.interrupt_kernel()
    assert book.finish(request) == ("", "KeyboardInterrupt")
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert book.finish(book.begin("next(results)"))[1] == "StateError"
    assert book.finish(book.begin(AGAIN)) == ("[0, 100, 200, 300]\n", "")


TESTED = """
import pytest
from papympi import Graph, NodeError, node, run

graph = Graph("tested")

@graph.node
def half(number):
    return 6 / number

def test_the_function_alone():
    assert half(3) == 2

@pytest.mark.parametrize("pool", ["threads", "processes:1", "mpi:1"])
def test_the_graph(pool):
    assert list(run({"number": [1, 2]}, graph=graph, pools={"processes": pool})) == [6, 3]

def test_what_fails_and_what_is_given_up():
    with pytest.raises(NodeError, match="ZeroDivisionError"):
        list(run({"number": [0]}, graph=graph, pools={"processes": "threads"}))
    assert next(run({"number": iter(range(1, 100))}, graph=graph, pools={"processes": "processes:1"})) == 6
"""


def test_pytest_uses_papympi(tmp_path, nothing_left):
    """A test that uses papympi."""
    (tmp_path / "test_tested.py").write_text(TESTED)
    words = ["-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "5 passed" in done.stdout, done.stdout
    assert not done.stderr
