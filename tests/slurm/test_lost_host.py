"""A host is lost while a run goes on: the job ends with a line that names it, and the run goes on from what is kept."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest

from papympi.jobs.run_status import RunStatus

pytestmark = pytest.mark.timeout(60)

PIPELINE = """
import time
from papympi import node

@node(pool="mpi", stride=1)
def slow(x):
    time.sleep(0.2)
    return x * x

@node(fold=int)
def total(so_far, slow):
    return so_far + slow
"""
ITEMS = 60
RUN = ("slow.py", "--input", f"x=0..{ITEMS}", "--target", "slow", "--target", "total")
JOB = ("--run-dir", "slow.run", "--nodes", "2", "--tasks-per-node", "2", "--time", "10")


@pytest.fixture
def second_host(cluster, project):
    """Submit a run, and return number and second host of the job once it is at work."""
    (project / "slow.py").write_text(PIPELINE)

    def start(*words):
        number = cluster.take(cluster.call("papympi", "submit", *RUN, *JOB, *words, cwd=project))
        cluster.wait_for(lambda: RunStatus(project / "slow.run").count() >= 8, 30)
        return number, cluster.call("scontrol", "show", "hostnames", cluster.look(number, "%N")).stdout.split()[1]

    return start


def find_processes(cluster, host):
    """Return the processes of a host: it has a space of names of its own."""
    spaces = (Path(cluster.environment["SLURM_CONF"]).parent / host / "uts").read_text().split()

    def is_there(process):
        try:
            return str(Path(f"/proc/{process.pid}/ns/uts").readlink()) in spaces
        except OSError:
            return False

    return [process for process in psutil.process_iter(["cmdline", "name"]) if is_there(process)]


def read_log(folder):
    return "".join(path.read_text(errors="replace") for path in sorted((folder / "slow.run").glob("*.log")))


@pytest.fixture(scope="module")
def undisturbed(_running, tmp_path_factory):
    """Return the results of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "slow.py").write_text(PIPELINE)
    done = _running.call("papympi", "run", *RUN, "--pool", "*=inline", "--output", "alone.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    return (folder / "alone.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("launcher", "line"), [("srun", r"error: {host}: tasks 2-3: Killed"), ("mpiexec", r"PID \d+ RUNNING AT {host}")]
)
def test_killed_ranks_cost_no_results(cluster, project, second_host, undisturbed, launcher, line):
    """All ranks of a host die at once, as when its memory is used up; its last messages are cut off."""
    number, host = second_host("--launcher", launcher, *(("--mpi", "pmi2") if launcher == "srun" else ()))
    for process in find_processes(cluster, host):
        if {"slow.py", "-m"} <= set(process.info["cmdline"] or ()) and "python" in process.info["name"]:
            process.kill()
    assert cluster.wait(number, seconds=30) == "FAILED"
    assert len(re.findall(line.format(host=host), read_log(project))) == 1
    assert RunStatus(project / "slow.run").count() >= 8
    done = cluster.call("papympi", "run", *RUN, "--run-dir", "slow.run", "--resume", "--pool", "*=inline", cwd=project)
    assert done.returncode == 0, done.stderr
    assert (project / "slow.run" / "results.jsonl").read_bytes() == undisturbed


def test_job_goes_on_without_host(cluster, project, second_host, undisturbed):
    """Slurm begins a job anew whose host has lost its power; what it had said of that was overwritten."""
    number, host = second_host("--launcher", "srun", "--mpi", "pmi2")
    cluster.power("cut", host)
    try:
        cluster.call("scontrol", "update", f"nodename={host}", "state=down", "reason=power", check=True)
        assert cluster.wait(number, seconds=45) == "COMPLETED", read_log(project)
    finally:
        cluster.power("boot", host)
    assert len(re.findall(rf"error: Node failure on {host}", read_log(project))) == 1
    assert (project / "slow.run" / "results.jsonl").read_bytes() == undisturbed
