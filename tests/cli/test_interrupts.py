"""Ctrl-C or SIGTERM once: stops cleanly with the summary so far; twice, or after a while: at once. Nothing is left."""

import os
import signal
import time

import psutil
import pytest

SLOW = """
import pathlib, time
from papympi import node

@node(stride=1)
def slow(x):
    pathlib.Path(f"began-{x}").touch()
    time.sleep(SECONDS)
    return x
"""


@pytest.fixture
def slow(project):
    def make(seconds):
        (project / "slow.py").write_text(SLOW.replace("SECONDS", str(seconds)))
        return project / "slow.py"

    return make


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def interrupt(process, number=signal.SIGINT):
    """Send a signal as the terminal does: to the whole process group."""
    os.killpg(process.pid, number)


def family(process):
    return psutil.Process(process.pid).children(recursive=True)


def test_once_finishes_in_flight(start, slow, project, nothing_left, pool_of_two):
    """Once finishes what is in flight."""
    process = start("run", slow(0.3), "--input", "x=0..", "--pool", f"*={pool_of_two}", "--output", "a.jsonl")
    wait_for((project / "began-2").exists)
    others = family(process)
    interrupt(process)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert "stopped; so far:" in err
    assert "results in" in err
    assert "Traceback" not in err
    count = len((project / "a.jsonl").read_text().splitlines())
    assert count >= 1
    assert count == len(list(project.glob("began-*")))
    assert not (project / "a.jsonl.part").exists()
    assert not psutil.wait_procs(others, timeout=10)[1]


def test_twice_ends_at_once(start, slow, project, nothing_left, pool_of_two):
    process = start("run", slow(600), "--input", "x=0..", "--pool", f"*={pool_of_two}", "--no-progress")
    wait_for((project / "began-0").exists)
    others = family(process)
    interrupt(process)
    assert "stopping" in process.stderr.readline() + process.stderr.readline()
    interrupt(process)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not psutil.wait_procs(others, timeout=10)[1]


def test_sigterm_stops_with_143(start, slow, project, nothing_left):
    """SIGTERM is a first Ctrl-C with an exit code of its own."""
    process = start("run", slow(0.2), "--input", "x=0..", "--pool", "*=processes:2")
    wait_for((project / "began-2").exists)
    process.terminate()
    _, err = process.communicate(timeout=40)
    assert process.returncode == 143, err
    assert "stopped; so far:" in err


ENDS = [(signal.SIGINT, (), 130), (signal.SIGTERM, (), 143), (signal.SIGTERM, ("--run-dir", "kept"), 75)]


@pytest.mark.parametrize("pool", ["inline", "threads:2", "asyncio:2", "processes:2", "mpi:2"])
@pytest.mark.parametrize(("number", "keeps", "code"), ENDS)
def test_grace_comes_to_its_end(start, slow, project, nothing_left, pool, number, keeps, code):
    """Only SIGTERM, and only a run that keeps nothing, had an end of its own: others waited for the user's code."""
    process = start("run", slow(600), "--input", "x=0..", "--pool", f"*={pool}", "--no-progress", "--grace", 1, *keeps)
    wait_for((project / "began-0").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=40)
    assert process.returncode == code, err
    assert "the time of grace is over" in err
    assert "stopped; so far:" in err
    assert "Traceback" not in err


DEAF = """
import contextlib, pathlib, time
from papympi import node

@node(stride=1)
def slow(x):
    while True:
        with contextlib.suppress(BaseException):
            pathlib.Path(f"began-{x}").touch()
            time.sleep(600)
"""


@pytest.mark.parametrize("pool", ["inline", "threads:2", "processes:2"])
def test_deaf_function_ends(start, project, nothing_left, pool):
    """A function that lets no exception through kept the process of the runner for ever."""
    (project / "slow.py").write_text(DEAF)
    process = start("run", "slow.py", "--input", "x=0..", "--pool", f"*={pool}", "--no-progress", "--grace", 0.1)
    wait_for((project / "began-0").exists)
    process.terminate()
    _, err = process.communicate(timeout=40)
    assert process.returncode == 143, err


GATED = """
import pathlib, time
from papympi import node

@node(stride=1)
def slow(x):
    pathlib.Path(f"began-{x}").touch()
    while not pathlib.Path("gate").exists():
        time.sleep(0.01)
    return x
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pool", ["inline", "threads:2", "asyncio:9", "processes:2", "mpi:2"])
def test_unbegun_is_not_in_flight(start, project, nothing_left, pool, number):
    """Whatever a worker had been sent was waited for; of two batches of 25 s each the second had not begun."""
    (project / "slow.py").write_text(GATED)
    process = start("run", "slow.py", "--input", "x=0..", "--pool", f"*={pool}", "--no-progress", "--output", "a.jsonl")
    workers = 1 if pool in {"inline", "asyncio:9"} else 2
    wait_for(lambda: len(list(project.glob("began-*"))) == workers)
    time.sleep(0.3)  # the second batch of each is on its way
    process.send_signal(number)
    assert "stopping" in process.stderr.readline() + process.stderr.readline()
    time.sleep(0.3)
    (project / "gate").touch()
    _, err = process.communicate(timeout=40)
    assert process.returncode == 128 + number, err
    assert len(list(project.glob("began-*"))) == workers
    assert len((project / "a.jsonl").read_text().splitlines()) == workers


def test_ctrl_c_while_loading(start, project):
    """Ctrl-C while the file is loaded."""
    (project / "loads.py").write_text("import pathlib, time\npathlib.Path('began').touch()\ntime.sleep(600)\n")
    process = start("run", "loads.py")
    wait_for((project / "began").exists)
    interrupt(process)
    assert process.wait(30) == 130
    assert process.stderr.read() == "papympi: interrupted\n"
