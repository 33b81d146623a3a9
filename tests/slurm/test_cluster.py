"""The cluster itself: its hosts have names of their own, and to start it twice is to start it once."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)


def test_hosts_have_own_names(cluster):
    """Hosts have names of their own."""
    done = cluster.call("srun", "-N2", "--ntasks-per-node=2", "hostname")
    hosts = done.stdout.split()
    assert len(hosts) == 4, done.stderr
    assert len(set(hosts)) == 2
    assert all(host.startswith("n") for host in hosts)


def test_start_again_changes_nothing(cluster):
    """To start it again changes nothing."""
    root = Path(cluster.environment["SLURM_CONF"]).parent
    before = {path: path.read_text() for path in root.rglob("slurm*.pid")}
    assert len(before) == 5
    cluster.power("up")
    assert {path: path.read_text() for path in root.rglob("slurm*.pid")} == before


def test_job_knows_its_time_left(cluster):
    """A job knows how much time it has left."""
    code = "from papympi.jobs.time_limit import find_time_left; print(find_time_left())"
    done = cluster.call("srun", "-N1", "-n1", "--time=3", sys.executable, "-c", code)
    assert 60 < float(done.stdout) <= 180, done.stderr
