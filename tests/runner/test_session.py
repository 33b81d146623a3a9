"""However a run ends, nothing of it is left: no process, no descriptor, no shared block."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from papympi import Graph, NodeError, StateError, run
from papympi.testing.driver import POOLS

FOREVER = pytest.mark.parametrize("pool", [pool for pool in POOLS if pool != "inline"])


def graph_of(function, **options):
    graph = Graph("one")
    graph.add(function, name="node", inputs={"v": "x"}, pool="pool", **options)
    return graph


def start(function, pool, inputs, **options):
    return run({"x": inputs}, graph=graph_of(function), pools={"pool": pool}, **options)


def test_after_success(pool, nothing_left):
    assert list(start(lambda v: v, pool, range(100))) == list(range(100))
    nothing_left()


def test_after_a_failure(pool, nothing_left):
    with pytest.raises(NodeError):
        list(start(lambda v: 1 // v, pool, [1, 0, 1]))


def test_after_iteration_given_up(pool, nothing_left):
    """After an iteration that was given up."""
    for value in start(lambda v: v, pool, itertools.count()):
        if value == 20:
            break
    gc.collect()
    nothing_left()


def test_after_a_run_never_asked(pool, nothing_left):
    """After a run that was made and never asked."""
    start(lambda v: v, pool, itertools.count())


def test_after_leaving_context(pool, nothing_left):
    with start(lambda v: v, pool, itertools.count()) as running:
        assert next(running) == 0
    with pytest.raises(StateError, match="this run is closed"):  # it does not seem to have ended
        next(running)


@pytest.mark.parametrize("pool", ["processes", "mpi"])  # a thread cannot be ended: it is abandoned
def test_cancel_ends_busy_workers(pool, nothing_left, tmp_path):
    """Cancel ends workers whatever they are doing, and waits for no item."""
    path = str(tmp_path / "ended")

    def work(v):
        if v == 0:
            time.sleep(20)
            open(path, "x").close()  # noqa: PTH123 - travels without pathlib
        return v

    running = start(work, pool, [1, 0])
    assert next(running) == 1
    running.cancel()
    nothing_left()
    assert not (tmp_path / "ended").exists()


@FOREVER
def test_stop_starts_nothing(pool, nothing_left):
    """Stop hands over what is under way and starts nothing."""
    running = start(lambda v: v, pool, itertools.count(), admission=8)
    first = list(itertools.islice(running, 10))
    running.stop()
    rest = list(running)
    assert first + rest == list(range(10 + len(rest)))
    assert len(rest) <= 16


def test_stop_from_another_thread(nothing_left):
    """Stop from another thread ends an endless run."""
    running = start(lambda v: v, "threads", itertools.count())
    timer = threading.Timer(0.1, running.stop)
    timer.start()
    count = sum(1 for _ in running)
    timer.join()
    assert count > 0
    assert running.statistics().finished


def test_stop_before_first_item():
    running = start(lambda v: v, "threads", itertools.count())
    running.stop()
    assert list(running) == []


def test_a_run_is_iterated_once():
    running = start(lambda v: v, "inline", [1])
    assert list(running) == [1]
    assert list(running) == []
    with pytest.raises(StateError, match="is closed; call run"):
        running.results()


def test_several_runs_at_once(pool, nothing_left):
    runs = [start(lambda v, n=n: v * n, pool if n < 3 else "threads", range(30)) for n in (1, 2, 3)]
    found = list(zip(*runs, strict=True))
    assert found == [(v, 2 * v, 3 * v) for v in range(30)]


def test_a_run_in_another_thread(pool, nothing_left):
    found = []
    thread = threading.Thread(target=lambda: found.extend(start(lambda v: v + 1, pool, range(50))))
    thread.start()
    thread.join()
    assert found == list(range(1, 51))


def script(tmp_path, text, *args, **options):
    path = tmp_path / "script.py"
    path.write_text(text)
    return subprocess.Popen(
        [sys.executable, str(path), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


ONE_RESULT = """
import sys, papympi
numbers = papympi.map(lambda v: v * 2, range(100), pool=sys.argv[1])
print(next(numbers))
"""


def test_end_after_one_result(pool, tmp_path):
    """A program may end after one result."""
    process = script(tmp_path, ONE_RESULT, pool)
    out, err = process.communicate(timeout=40)
    assert (out, err, process.returncode) == ("0\n", "", 0)


WITHOUT_MAIN = """
import sys
from dataclasses import dataclass
from papympi import node, run

print("module level")

@dataclass
class Point:
    x: int

def helper(point):
    return Point(point.x + offset)

offset = 10

@node(pool="pool")
def moved(point):
    assert isinstance(point, Point)
    return helper(point)

results = list(run({"point": [Point(1), Point(2)]}, pools={"pool": sys.argv[1]}))
print(all(isinstance(result, Point) for result in results), results)
"""


def test_no_main_guard_needed(pool, tmp_path):
    """A script needs no main guard."""
    process = script(tmp_path, WITHOUT_MAIN, pool)
    out, err = process.communicate(timeout=40)
    assert (out, err) == ("module level\nTrue [Point(x=11), Point(x=12)]\n", "")


WAITS = """
import itertools, sys, time, papympi
numbers = papympi.map(lambda v: time.sleep(v and 60), itertools.count(), pool=sys.argv[1])
next(numbers)
print("first", flush=True)
next(numbers)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_ended_program_leaves_nothing(pool, number, tmp_path):
    """An interrupted or killed program leaves nothing."""
    process = script(tmp_path, WAITS, pool, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    os.kill(process.pid, number)
    process.communicate(timeout=40)
    assert process.returncode != 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
