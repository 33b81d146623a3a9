"""`papympi` under mpiexec and with `--ranks`: the same output, the same exit codes, and each word once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from papympi.launchers.search import find_launcher

NO_MPI = {"PATH": "/nowhere", "MPI4PY_LIBMPI": "/nowhere/lib/libmpi.so"}
COUNTED = """
import os, pathlib
from papympi import node

pathlib.Path(f"loaded-{os.getpid()}").touch()

@node(pool="mpi", stride=3)
def cube(number):
    if number == 50:
        raise ValueError("fifty")
    return number ** 3
"""
SLOW = """
import pathlib, time
from papympi import node

@node(pool="mpi", stride=1)
def slow(x):
    pathlib.Path(f"began-{x}").touch()
    time.sleep(0.3)
    return x
"""


@pytest.fixture
def counted(project):
    (project / "counted.py").write_text(COUNTED)
    return project


@pytest.fixture
def mpiexec(project):
    """Return what runs `papympi` under mpiexec."""

    def call(ranks, *arguments):
        return subprocess.run(
            [find_launcher().path, "-n", str(ranks), sys.executable, "-m", "papympi", *arguments],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip

    return call


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


CUBES = "".join(f"{number**3}\n" for number in range(40))


@pytest.mark.parametrize("ranks", [1, 3])
def test_under_mpiexec(mpiexec, counted, ranks, nothing_left):
    done = mpiexec(ranks, "run", "counted.py", "--input", "number=0..40")
    assert (done.returncode, done.stdout) == (0, CUBES), done.stderr
    assert done.stderr.count("40 results in") == 1
    assert len(list(counted.glob("loaded-*"))) == 2  # by rank 0, and by the one template of this host


def test_ranks_starts_mpiexec(papympi, counted, nothing_left):
    done = papympi("run", "--ranks", "3", "counted.py", "--input", "number=0..40")
    assert (done.returncode, done.stdout) == (0, CUBES), done.stderr
    done = papympi("run", "counted.py", "--input", "number=49..52", "--ranks=2")
    assert done.returncode == 1
    assert "ValueError in cube: fifty" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["run", "counted.py", "--input", "number=50"], 1, "ValueError in cube: fifty"),
        (["run", "conted.py"], 2, "papympi: error: no such file: 'conted.py'"),
        (["run", "counted.py", "--ranks", "2"], 2, "papympi: error: --ranks 2 starts a launcher of its own"),
        (["run", "--nonsense"], 2, "papympi: error: No such option"),
    ],
)
def test_codes_and_messages_come_once(mpiexec, counted, arguments, code, line):
    """Exit codes and messages come once."""
    done = mpiexec(2, *arguments)
    assert done.returncode == code
    assert done.stderr.count(line) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_with_ranks(start, project, times, nothing_left):
    (project / "slow.py").write_text(SLOW if times == 1 else SLOW.replace("0.3", "600"))
    process = start("run", "slow.py", "--input", "x=0..", "--ranks", "3", "--output", "a.jsonl")
    wait_for((project / ("began-3" if times == 1 else "began-1")).exists)
    others = psutil.Process(process.pid).children(recursive=True)
    assert len(others) >= 3
    os.killpg(process.pid, signal.SIGINT)
    if times == 2:
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert times == 2 or "stopped; so far:" in err
    assert times == 2 or len(Path("a.jsonl").read_text().splitlines()) == len(list(project.glob("began-*")))
    assert not psutil.wait_procs(others, timeout=10)[1]


@pytest.mark.parametrize("option", [[], ["--ranks", "2"]])
def test_missing_mpi_is_explained(papympi, counted, option):
    """Missing MPI says how to get it."""
    done = papympi("run", "counted.py", "--input", "number=1", *option, env={**os.environ, **NO_MPI})
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("papympi: error: ")
    assert "pip install 'papympi[mpi]'" in line


BOUND = """
import json
import os
from papympi import node

@node(pool="mpi", stride=1)
def place(x):
    return sorted(os.sched_getaffinity(0))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is but one CPU")
@pytest.mark.parametrize(("job", "cores"), [({}, "all"), ({"SLURM_JOB_ID": "7"}, "one")])
def test_children_of_bound_ranks(project, job, cores, nothing_left):
    """A launcher that binds ranks bound all their children to the one core; they may use all, unless it is a job."""
    (project / "bound.py").write_text(BOUND)
    (project / "papympi.toml").write_text("[pools.mpi]\nworkers_per_rank = 2\n")
    launcher = find_launcher()
    bind = ["-bind-to", "core"] if launcher.vendor == "MPICH" else ["--bind-to", "core"]
    done = subprocess.run(
        [launcher.path, *bind, "-n", "2", sys.executable, "-m", "papympi", "run", "bound.py", "--input", "x=0..6"],
        capture_output=True, text=True, timeout=50, check=False, env={**os.environ, **job},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    everything = sorted(os.sched_getaffinity(0))
    places = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(places) == 6
    if cores == "all":
        assert places == [everything] * 6
    else:
        assert {len(place) for place in places} == {1}
    assert ("2 workers of a rank share 1 of" in done.stderr) == (cores == "one")
