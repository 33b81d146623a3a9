"""`kill -9` of each process of a run in turn: the rest is gone soon, and the exit code is not 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PIPELINE = """
import os, time
from papympi import node

@node(pool="pool", stride=2)
def slow(x):
    time.sleep(0.05)
    return os.getpid()
"""


def name_of(process):
    """Say what a process of a run is there for."""
    words = process.cmdline()
    if process.name() == "papympi-worker":
        return "worker"
    if process.name() == "papympi-server":
        if process.parent().name() == "papympi-server":
            return "template"
        return "server" if process.children() else "idle server"  # whose rank has its children from another's template
    if any("mpiexec" in word for word in words[:2]):
        return "mpiexec"
    return "rank" if any("workers.ranks.relay" in word for word in words) else "other"


def wait_for(victim, runner):
    """Return a process of a run that is there for `victim`, once it works."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in runner.children(recursive=True):
            try:
                if name_of(process) == victim:
                    return process
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    raise AssertionError(f"there is no {victim}")


KILLS = [
    ("processes:2", "runner"),
    ("processes:2", "server"),
    ("processes:2", "template"),
    ("processes:2", "worker"),
    ("mpi:2", "runner"),
    ("mpi:2", "mpiexec"),
    ("mpi:2", "rank"),
    ("mpi:2", "server"),
    ("mpi:2", "template"),
    ("mpi:2", "worker"),
]


@pytest.mark.parametrize(("pool", "victim"), KILLS)
def test_kill_of_any_leaves_nothing(pool, victim, tmp_path, nothing_left):
    """Whoever is killed, nothing is left and it shows."""
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    argv = [Path(sys.executable).parent / "papympi", "run", "pipeline.py", "--no-progress", "--pool", f"pool={pool}"]
    endless = victim != "worker"  # the loss of a worker costs an item, and the run goes on
    argv += ["--input", "x=0.." if endless else "x=0..200"]
    process = subprocess.Popen(
        [str(word) for word in argv], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        at_work = int(process.stdout.readline())
        runner = psutil.Process(process.pid)
        family = runner.children(recursive=True)
        known = {"runner": process.pid, "worker": at_work}  # another worker may not have begun yet: it costs nothing
        os.kill(known[victim] if victim in known else wait_for(victim, runner).pid, signal.SIGKILL)
        try:
            _, said = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode != 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    if victim == "worker":
        assert process.returncode == 1
        assert "WorkerLost in slow" in said
    elif victim != "runner":
        assert "papympi: error: pool 'pool'" in said
