"""The programs that nodes start: with the time-out of their item and with the run they end, on every pool."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time

import psutil
import pytest

import papympi
from papympi import Graph, ItemTimeout, StateError, run

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
POOLS = ["inline", "threads:2", "processes:2", "mpi:2", "loky:2"]
HANGS = {
    "program": ["sleep", "600"],
    "shell": ["sh", "-c", "sleep 600 | cat; true"],
    "grandchildren": ["sh", "-c", "sh -c 'sleep 600; true' & sh -c 'sleep 600; true'; wait"],
    "session": ["setsid", "--wait", "sleep", "600"],
}


def gone(marker):
    """Return whether no process has a marker in its environment any more; it may take a moment to end."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if not any(has(each, marker) for each in psutil.process_iter()):
            return True
        time.sleep(0.05)
    return False


def has(process, marker):
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("PAPYMPI_MARK") == marker
    except psutil.Error:
        return False


def run_program(x, argv, path):
    if x == 1:
        subprocess.run(argv, env={**os.environ, "PAPYMPI_MARK": path}, check=True)
    return x


@pytest.mark.parametrize(("pool", "how"), list(zip(POOLS, [*HANGS, "shell"], strict=True)))
def test_time_out_ends_programs(pool, how, tmp_path):
    """Only the function was ended, and of a shell only the shell: what it had started went on, and held its pipes."""
    argv, path = HANGS[how], str(tmp_path)
    graph = Graph("g")
    graph.add(lambda x: run_program(x, argv, path), name="n", inputs={"x": "x"}, pool="p", timeout=1.0, stride=1)
    with run({"x": range(3)}, graph=graph, pools={"p": pool}, errors="keep") as running:
        first, late, last = running
        assert isinstance(late.error, ItemTimeout), late.error
        assert (first, last) == (0, 2)
        assert gone(path)


def leave_program(x, path):
    kept.append(subprocess.Popen(["sh", "-c", "sleep 600 | cat; true"], env={**os.environ, "PAPYMPI_MARK": path}))
    return x


kept = []


def leave_none():
    """Take note of the ends of the programs that this process has started, as users' code does who cares."""
    for each in kept:
        if isinstance(each, subprocess.Popen):
            each.wait()
    kept.clear()


@pytest.mark.parametrize("ends", ["finished", "closed"])
@pytest.mark.parametrize("pool", ["asyncio", *POOLS])
def test_end_of_run_ends_programs(pool, ends, tmp_path):
    """What a function had left running went on for ever where the function ran in the user's process."""
    path = str(tmp_path)
    with papympi.map(lambda x: leave_program(x, path), range(3), pool=pool) as running:
        assert next(running) == 0
        if ends == "finished":
            assert list(running) == [1, 2]
    assert gone(path)
    leave_none()


@pytest.mark.parametrize("pool", ["threads:1", "asyncio", "processes:1"])
def test_cancel_ends_programs_at_work(pool, tmp_path):
    """A thread that waits for a program was abandoned, and the program went on."""
    path = str(tmp_path)

    running = papympi.map(lambda x: run_program(x, HANGS["shell"], path), [1], pool=pool)

    def cancel():
        while not any(has(each, path) for each in psutil.process_iter()):
            time.sleep(0.05)
        running.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(StateError, match="was cancelled"):
        next(running)
    thread.join()
    assert gone(path)


def test_own_programs_go_on(tmp_path):
    """What the user's own code has started, before a run or between two results, is none of the nodes'."""
    before = subprocess.Popen(["sleep", "600"])
    with papympi.map(lambda x: x, range(10), pool="inline", stride=1) as running:
        assert next(running) == 0
        between = subprocess.Popen(["sleep", "600"])
        assert list(running) == list(range(1, 10))
    for each in (before, between):
        assert each.poll() is None
        each.kill()
        each.wait()


def test_program_of_async_function_ends(tmp_path):
    path = str(tmp_path)

    async def leave(x):
        kept.append(await asyncio.create_subprocess_exec("sleep", "600", env={**os.environ, "PAPYMPI_MARK": path}))
        return x

    assert list(papympi.map(leave, range(3), pool="asyncio")) == [0, 1, 2]
    assert gone(path)
    leave_none()


@pytest.mark.parametrize("pool", ["asyncio", *POOLS])
def test_failure_has_words_of_program(pool):
    """The exception has what the program has said, but its text does not."""

    def compile_badly(x):
        try:
            subprocess.run(["sh", "-c", "echo no such option >&2; exit 3"], capture_output=True, check=True)
        except subprocess.CalledProcessError as error:
            raise RuntimeError("the tool failed") from error

    (failure,) = papympi.map(compile_badly, [1], pool=pool, errors="keep")
    assert "The program wrote to its standard error:\nno such option\n" in failure.traceback
    assert "no such option" in str(failure.to_error())
