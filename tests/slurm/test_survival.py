"""Whole jobs on a cluster on which things go wrong: each comes to its end, with the output of a run on one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial

import psutil
import pytest

from papympi.jobs.run_status import RunStatus

pytestmark = pytest.mark.timeout(300)

PIPELINE = """
import os, subprocess, time
from papympi import node

@node(pool="mpi", stride=1)
def slow(x):
    with open(f"calls/{x}", "a") as file:
        print(os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT", "0"), file=file)
    if "PROGRAM" in os.environ:
        subprocess.run(["sleep", os.environ["PAUSE"]], check=True)
    else:
        time.sleep(float(os.environ.get("PAUSE", "0")))
    return x * x

@node(fold=int)
def total(so_far, slow):
    return so_far + slow
"""
BOTH = ("--target", "slow", "--target", "total")


class Project:
    """A folder with a pipeline that runs as a job."""

    def __init__(self, cluster, folder, items, *words, pause="0.5", **more):
        self.cluster, self.folder, self.run, self.items = cluster, folder, folder / "slow.run", items
        folder.mkdir(exist_ok=True)
        (folder / "slow.py").write_text(PIPELINE)
        (folder / "calls").mkdir()
        self.words = ("slow.py", "--input", f"x=0..{items}", *words)
        self.environment = {**cluster.environment, "PAUSE": pause, **more}
        self.number = ""

    def submit(self):
        """Submit it and return the number of the job."""
        done = self.call("submit", *self.words)
        self.number = self.cluster.take(done)
        return self.number

    def call(self, *words):
        return self.cluster.call("papympi", *words, cwd=self.folder, env=self.environment)

    def knows_of(self, count):
        """Return whether so much is finished."""
        return RunStatus(self.run).count() >= count

    def read_calls(self):
        """Return job and number of the attempt of each call."""
        return [line for path in (self.folder / "calls").iterdir() for line in path.read_text().splitlines()]

    def warn(self, part=""):
        """Let Slurm do what it does before the limit."""
        self.cluster.call("scancel", "--signal=USR1", "--batch", f"{self.number}{part}", check=True)

    def wait(self, seconds=120):
        """Wait for the end of the job, which has to be a good one."""
        states = self.cluster.wait_for(
            lambda: (found := set(self.cluster.look(self.number).split())) <= {"COMPLETED", "FAILED"} and found, seconds
        )
        assert states == {"COMPLETED"}, self.log
        assert not list(self.run.glob("**/lock*"))
        assert not list(self.run.glob("**/*failures.jsonl"))

    @property
    def log(self):
        return "".join(path.read_text(errors="replace") for path in sorted(self.run.glob("*.log")))

    @property
    def calls(self):
        """How often each item was computed."""
        return [len((self.folder / "calls" / str(x)).read_text().splitlines()) for x in range(self.items)]

    def compare(self, file="slow.run/results.jsonl", targets=BOTH):
        """Compare the results with those of a run on this machine alone."""
        alone = self.folder / "alone"
        (alone / "calls").mkdir(parents=True)
        (alone / "slow.py").write_text(PIPELINE)
        command = [sys.executable, "-m", "papympi", "run", "slow.py", "--input", f"x=0..{self.items}", *targets]
        command += ["--pool", "*=inline", "--output", "out.jsonl"]
        subprocess.run(command, cwd=alone, check=True, capture_output=True, timeout=60)
        assert (self.folder / file).read_bytes() == (alone / "out.jsonl").read_bytes()

    def kill(self, number):
        """Kill a rank of the job."""

        def is_it(process):
            try:
                words, variables = process.cmdline(), process.environ()
            except psutil.Error:
                return False
            mine = variables.get("SLURM_JOB_ID") == self.number and variables.get("SLURM_PROCID") == str(number)
            return mine and "slow.py" in words and "SLURM_STEP_ID" in variables and "srun" not in words[0]

        [found] = [process for process in psutil.process_iter() if is_it(process)]
        found.kill()


def ranks(hosts, each, *more):
    return ("--nodes", str(hosts), "--tasks-per-node", str(each), "--until-done", *more)


@pytest.fixture(scope="module")
def started(_running, tmp_path_factory):
    """Return jobs that run side by side; to each is done what its name says, as soon as it is at work.

    One has more than three minutes of work and a limit of one, which is the shortest that Slurm knows.
    """
    folder = tmp_path_factory.mktemp("jobs")
    limit = ("--time", "1", "--lead", "10", "--requeues", "50")
    shares = ("--target", "slow", *ranks(1, 2, "--time", "10", "--array", "2"))
    found = {
        "limit": Project(_running, folder / "limit", 1400, *BOTH, *ranks(2, 4, *limit), pause="1"),
        "rank 0": Project(_running, folder / "rank-0", 60, *BOTH, *ranks(2, 2, "--time", "10")),
        "rank 3": Project(_running, folder / "rank-3", 60, *BOTH, *ranks(2, 2, "--time", "10")),
        "array": Project(_running, folder / "array", 80, *shares),
    }
    for project in found.values():
        project.submit()
    disturb(found)
    yield found
    _running.call("scancel", *(project.number for project in found.values()))


def disturb(jobs):
    """Send the signals that each job is to survive."""
    array = jobs["array"]
    part = RunStatus(array.run / "part-0")
    steps = [
        (lambda: part.count() >= 3, lambda: array.warn("_0")),
        *((partial(jobs[f"rank {n}"].knows_of, 8), partial(jobs[f"rank {n}"].kill, n)) for n in (0, 3)),
    ]

    def go_on():
        for step in list(steps):
            condition, act = step
            if condition():
                act()
                steps.remove(step)
        return not steps

    array.cluster.wait_for(go_on, 180)


@pytest.mark.parametrize("number", [0, 3])
def test_killed_rank_ends_attempt(cluster, started, number):
    """A rank that is killed ends the attempt and not the job: rank 0 runs the graph, the other one only works."""
    project = started[f"rank {number}"]
    project.wait()
    assert re.search(rf"error: n\d: task {number}: Killed", project.log)
    assert project.log.count("work is left: once more") == 1
    assert sum(project.calls) - project.items <= 20, project.calls
    project.compare()


def test_array_tasks_are_merged(cluster, started):
    """Each task of an array goes on by itself, and merge joins them."""
    project = started["array"]
    project.wait()
    assert project.log.count("work is left: once more") == 1
    assert project.calls == [1] * project.items
    told = project.call("status", "slow.run").stdout
    assert "slow.run/part-0: attempt 2, complete" in told
    assert "slow.run/part-1: complete" in told
    merged = project.call("merge", "slow.run", "--output", "all.jsonl")
    assert merged.returncode == 0, merged.stderr
    project.compare("all.jsonl", ("--target", "slow"))


def test_cancelled_job_goes_on(cluster, tmp_path):
    """The programs that its nodes have started are ended with it: that is no failure of an item."""
    project = Project(cluster, tmp_path, 60, *BOTH, *ranks(2, 2, "--time", "10"), PROGRAM="1")
    project.words += ("--directive=--begin=now+1hour",)
    first = project.submit()
    assert project.call("status", "slow.run").stdout.splitlines()[1].startswith(f"job {first}: PENDING")
    assert project.call("cancel", "slow.run").stdout == f"cancelled job {first}\n"
    project.words = project.words[:-1]
    second = project.submit()
    cluster.wait_for(lambda: project.knows_of(8), 90)
    told = project.call("status", "slow.run").stdout
    assert f"job {second}: RUNNING" in told
    assert re.search(r"^slow +\d+ +", told, re.MULTILINE)
    assert project.call("cancel", "slow.run").stdout == f"cancelled job {second}\n"
    assert cluster.wait(second) == "CANCELLED"
    assert "Slurm has ended this job with work left" in project.log
    assert "nothing runs in slow.run" in project.call("cancel", "slow.run").stderr
    third = project.submit()
    project.wait()
    assert {first, second, third} == {path.stem.removeprefix("slurm-") for path in project.run.glob("*.log")} | {first}
    assert sum(project.calls) - project.items <= 20, project.calls
    project.compare()


@pytest.mark.timeout(900)
def test_until_done_over_the_limit(cluster, started):
    """Until done, a job goes on over its limit and computes nothing twice."""
    project = started["limit"]
    project.wait(600)
    attempts = set(project.read_calls())
    assert len(attempts) >= 3, project.log
    repeats = project.log.count("work is left: once more")
    assert repeats in {len(attempts) - 1, len(attempts)}  # all that is left for the last one may be the total
    assert project.calls == [1] * project.items
    project.compare()


def test_host_of_rank_0_loses_power(cluster, tmp_path):
    """When the host of rank 0 loses its power, the job goes on elsewhere."""
    project = Project(cluster, tmp_path, 60, *BOTH, *ranks(2, 2, "--time", "10"))
    number = project.submit()
    cluster.wait_for(lambda: project.knows_of(8), 90)
    hosts = cluster.call("scontrol", "show", "hostnames", cluster.look(number, "%N")).stdout.split()
    cluster.power("cut", hosts[0])
    try:
        cluster.call("scontrol", "update", f"nodename={hosts[0]}", "state=down", "reason=power", check=True)
        project.wait()
        assert hosts[0] not in cluster.call("scontrol", "show", "hostnames", cluster.look(number, "%N")).stdout.split()
    finally:
        cluster.power("boot", hosts[0])
    assert "took over from process" in project.log
    assert sum(project.calls) - project.items <= 20, project.calls
    project.compare()
    assert cluster.call("srun", f"--nodelist={hosts[0]}", "hostname").stdout.strip() == hosts[0]
