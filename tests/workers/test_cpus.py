"""CPUs are counted in one place: those that a process is bound to, and those whose time its control groups have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from papympi.workers import cpus
from papympi.workers.cpus import CpuShare, find_room, is_part, list_groups, place_on, survey_cpus, tell_crowd

SURVEY = "from papympi.workers.cpus import count_cpus, survey_cpus; print(count_cpus(), *survey_cpus(), sep='|')"
CORES = len(os.sched_getaffinity(0))
needs_two = pytest.mark.skipif(CORES < 2, reason="this test binds to one of several CPUs")


def survey(*prefix):
    """Return what another process, started by a command, has to say of its CPUs."""
    done = subprocess.run([*prefix, sys.executable, "-c", SURVEY], capture_output=True, text=True, check=True)
    counted, usable, there, reason = done.stdout.strip().split("|")
    assert counted == usable
    return CpuShare(int(usable), int(there), reason)


@pytest.fixture
def group(tmp_path):
    """Return what makes a control group of a controller, with some limits, and returns a command that runs in it."""
    made = []

    def make(controller, **limits):
        above = next((each for each in list_groups(controller) if (each / "cgroup.procs").exists()), None)
        if above is None or os.geteuid() or not os.access(above, os.W_OK):
            pytest.skip(f"no control group of {controller} can be made here")
        folder = above / f"papympi-test-{os.getpid()}"
        try:
            folder.mkdir()
            made.append(folder)
            for name, value in limits.items():
                (folder / name.replace("__", ".")).write_text(value)
        except OSError as error:
            pytest.skip(f"no control group of {controller} can be made here: {error}")
        return ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh"]

    yield make
    for folder in made:
        folder.rmdir()


def test_nothing_limits_nothing_is_said():
    if cpus.find_quota() is None and os.cpu_count() == CORES:
        assert survey_cpus() == CpuShare(CORES, CORES)
    assert 1 <= survey_cpus().usable <= survey_cpus().there


@needs_two
def test_quota_of_a_group_counts(group):
    """A container with the time of half a CPU had as many workers as the host has CPUs."""
    command = group("cpu", cpu__cfs_period_us="100000", cpu__cfs_quota_us="50000")
    assert survey(*command) == CpuShare(1, os.cpu_count(), "a control group has the time of 0.5 (its quota)")


@needs_two
def test_cpuset_counts(group):
    first = min(os.sched_getaffinity(0))
    found = survey(*group("cpuset", cpuset__cpus=str(first), cpuset__mems="0"))
    assert found == CpuShare(1, os.cpu_count(), f"the cpuset of a job or a container has CPU {first}")


@needs_two
def test_binding_counts():
    last = max(os.sched_getaffinity(0))
    found = survey("taskset", "-c", str(last))
    assert found == CpuShare(1, os.cpu_count(), f"bound to CPU {last} by taskset, or by the launcher (-bind-to)")


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n"}, 2.5),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.cfs_quota_us": "-1\n"}, None),
        ({"cpu.max": "many"}, None),
        ({}, None),
    ],
)
def test_both_versions_are_read(tmp_path, files, quota):
    """Version 2 has one file, version 1 has two; whatever else is there limits nothing."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert cpus._read_quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8"}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "4"}, True),
        ({"SLURM_JOB_ID": "7"}, True),
        ({"PBS_JOBID": "7.host"}, True),
    ],
)
def test_a_job_may_have_a_part(environment, part):
    """What is not the job's is another's, whether or not something keeps this one from it."""
    assert is_part(environment, 8) == part


@needs_two
def test_room_is_that_of_whoever_binds():
    """A rank that its launcher has bound has children on all CPUs of the launcher; nothing said is wrong then."""
    bound = os.sched_getaffinity(0)
    try:
        place_on(0, frozenset({min(bound)}))
        assert find_room(1) == {min(bound)}
        wide = find_room(2)
        assert wide == (os.sched_getaffinity(os.getppid()) | {min(bound)})
        assert tell_crowd(["one"]) == ""
        assert ("of a rank share" in tell_crowd(["one"] * 1000)) == (len(wide) < os.cpu_count())
    finally:
        os.sched_setaffinity(0, bound)
    assert os.sched_getaffinity(0) == bound


def test_place_of_one_that_has_ended():
    done = subprocess.Popen(["true"])
    done.wait()
    place_on(done.pid, frozenset({0}))


def test_nobody_else_counts():
    """Each had its own way to count: the quota, or the binding, was forgotten in one or another."""
    root = Path(cpus.__file__).parents[1]
    for path in root.rglob("*.py"):
        text = path.read_text()
        assert path == Path(cpus.__file__) or not any(word in text for word in ("cpu_count", "sched_getaffinity")), path
