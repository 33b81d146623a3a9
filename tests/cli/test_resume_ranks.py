"""Runs of ranks are stopped and resumed like any other: every rank ends, and the output is the same."""

import os
import signal
import time

import psutil
import pytest

SLOW = """
import time
from papympi import node

@node(stride=1, pool="mpi")
def slow(x):
    open(f"began-{x}", "a").write("!")
    time.sleep(0.1)
    return x * x
"""
COUNT = 40


@pytest.fixture
def slow(project):
    (project / "slow.py").write_text(SLOW)
    return ["run", "slow.py", "--input", f"x=0..{COUNT}", "--run-dir", "run", "--resume", "--no-progress"]


def wait_for(condition, process):
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def results(project):
    return (project / "run" / "results.jsonl").read_text().splitlines()


def begun(project):
    return [path.read_text() for path in project.glob("began-*")]


def ranks_of(process):
    return [each for each in psutil.Process(process.pid).children(recursive=True) if "slow.py" in each.cmdline()]


@pytest.mark.timeout(120)
def test_launcher_sends_sigterm(mpi, project, slow):
    """Ranks that a launcher sends SIGTERM."""
    process = mpi.start(3, "papympi", *slow)
    wait_for((project / "began-5").exists, process)
    ranks = [each for each in ranks_of(process) if each.name() != "mpiexec"]
    for each in ranks:
        if each.is_running() and any("papympi" in word for word in each.cmdline()):
            os.kill(each.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 75, err
    assert "work remains" in err
    assert not psutil.wait_procs(ranks, timeout=10)[1]
    assert 0 < len(begun(project)) < COUNT
    done = mpi.run(3, "papympi", *slow)
    assert done.returncode == 0, done.stderr
    assert [f'"value": {x * x}' in line for x, line in enumerate(results(project))] == [True] * COUNT
    assert begun(project) == ["!"] * COUNT


@pytest.mark.timeout(120)
def test_ranks_of_papympi_stop(start, papympi, project, slow, nothing_left):
    """Ranks that papympi has started."""
    process = start(*slow, "--ranks", "3")
    wait_for((project / "began-5").exists, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 75, err
    done = papympi(*slow, "--ranks", "3")
    assert done.returncode == 0, done.stderr
    assert len(results(project)) == COUNT
    assert begun(project) == ["!"] * COUNT
