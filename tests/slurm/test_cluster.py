"""The cluster itself: its hosts have names of their own, lose their power and come back."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)


def test_hosts_have_names_of_their_own(cluster):
    done = cluster.call("srun", "-N2", "--ntasks-per-node=2", "hostname")
    hosts = done.stdout.split()
    assert len(hosts) == 4, done.stderr
    assert len(set(hosts)) == 2
    assert all(host.startswith("n") for host in hosts)


def test_to_start_it_again_changes_nothing(cluster):
    root = Path(cluster.environment["SLURM_CONF"]).parent
    before = {path: path.read_text() for path in root.rglob("slurm*.pid")}
    assert len(before) == 5
    cluster.power("up")
    assert {path: path.read_text() for path in root.rglob("slurm*.pid")} == before


def test_a_host_without_power_has_no_processes_and_comes_back(cluster, tmp_path):
    (tmp_path / "sleep.sh").write_text("#!/bin/bash\nsrun sleep 4711\n")
    sbatch = ("sbatch", "--parsable", "--nodelist=n4", "--no-requeue")
    number = cluster.take(cluster.call(*sbatch, tmp_path / "sleep.sh", cwd=tmp_path))
    cluster.wait(number, "RUNNING")
    cluster.wait_for(lambda: cluster.call("pgrep", "-f", "^(/usr/bin/)?sleep 4711").stdout)
    cluster.power("cut", "n4")
    assert cluster.call("pgrep", "-f", "^(/usr/bin/)?sleep 4711").stdout == ""
    cluster.call("scontrol", "update", "nodename=n4", "state=down", "reason=power", check=True)
    assert cluster.wait(number) == "NODE_FAIL"
    cluster.power("boot", "n4")
    assert cluster.call("srun", "--nodelist=n4", "hostname").stdout == "n4\n"
