"""Everything that travels between two hosts: hundreds of small batches, large arrays, scatters and folds, a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)

PIPELINE = """
import os, signal, socket
import numpy as np
from papympi import node

@node(pool="mpi", stride=1)
def fill(x):
    if x == int(os.environ.get("FATAL", "-1")):
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full(1_000_000 if x % 15 == 0 else x % 7, x, dtype=float)

@node(pool="mpi", stride=4)
def double(fill):
    return 2 * fill

@node(pool="mpi", stride=1)
def parts(x, double):
    assert (double == 2 * x).all()
    yield from (x, len(double))

@node(pool="mpi", stride=2)
def negative(parts):
    return -parts

@node(gather=True, pool="mpi")
def row(negative):
    return negative

@node(pool="mpi", stride=1)
def host(x):
    return socket.gethostname()

@node(fold=dict, pool="mpi")
def hosts(so_far, host):
    return {**so_far, host: so_far.get(host, 0) + 1}

@node(fold=int, combine=int.__add__, pool="mpi")
def total(so_far, x):
    return so_far + x
"""
ITEMS = 300
FATAL = 77
ARGUMENTS = ("traffic.py", "--input", f"x=0..{ITEMS}", "--output", "out.jsonl")
TARGETS = ("--target", "row", "--target", "hosts", "--target", "total")


@pytest.fixture
def pipeline(project):
    (project / "traffic.py").write_text(PIPELINE)
    return project


def isolate(folder, isolates):
    """Say whether ranks isolate, and return which item is to kill its process: only isolation survives that."""
    (folder / "papympi.toml").write_text(f"[pools.mpi]\nisolate = {str(isolates).lower()}\n")
    return FATAL if isolates else -1


def check(folder, fatal):
    """Compare with what the pipeline has to say, item by item and in their order."""
    found = {name: [] for name in ("row", "hosts", "total")}
    for line in (folder / "out.jsonl").read_text().splitlines():
        record = json.loads(line)
        found[record["node"]].append(record["value"])
    sizes = [1_000_000 if x % 15 == 0 else x % 7 for x in range(ITEMS)]
    assert found["row"] == [[-x, -size] for x, size in enumerate(sizes) if x != fatal]
    assert found["total"] == [sum(range(ITEMS))]
    [hosts] = found["hosts"]
    assert len(hosts) == 2
    assert sum(hosts.values()) == ITEMS
    failures = folder / "out.jsonl.failures.jsonl"
    failed = [json.loads(line) for line in failures.read_text().splitlines()] if failures.exists() else []
    assert [failure["key"] for failure in failed] == [[fatal]] * (fatal >= 0)


@pytest.mark.parametrize("isolates", [True, False], ids=["isolated", "direct"])
@pytest.mark.parametrize("provider", ["", "tcp"], ids=["usual", "tcp"])
def test_mpich_between_hosts(cluster, pipeline, provider, isolates):
    """MPICH's own choice here was a provider that changes the order of messages."""
    fatal = isolate(pipeline, isolates)
    variables = {"FATAL": str(fatal), "MPIR_CVAR_DEBUG_SUMMARY": "1", **({"FI_PROVIDER": provider} if provider else {})}
    srun = ("srun", "--mpi=pmi2", "--kill-on-bad-exit=1", "-N2", "--ntasks-per-node=2")
    environment = {**cluster.environment, **variables}
    done = cluster.call(*srun, "papympi", "run", *ARGUMENTS, *TARGETS, cwd=pipeline, env=environment, timeout=50)
    assert done.returncode == int(fatal >= 0), done.stderr
    assert "libfabric provider: tcp" in done.stdout
    check(pipeline, fatal)


@pytest.mark.parametrize("isolates", [True, False], ids=["isolated", "direct"])
def test_openmpi_between_hosts(cluster, openmpi, pipeline, isolates):
    """The launcher of Open MPI has daemons on both hosts."""
    fatal = isolate(pipeline, isolates)
    environment = {**cluster.environment, "FATAL": str(fatal), "PATH": f"{openmpi.bin}{os.pathsep}{os.environ['PATH']}"}
    job = ("--nodes", "2", "--tasks-per-node", "2", "--time", "5", "--launcher", "mpiexec")
    options = [f"--launcher-option={word}" for word in openmpi.options]
    command = (openmpi.bin / "papympi", "submit", *ARGUMENTS, *TARGETS, *job, *options)
    number = cluster.take(cluster.call(*command, cwd=pipeline, env=environment))
    state = cluster.wait(number, seconds=50)
    assert state == ("FAILED" if fatal >= 0 else "COMPLETED"), Path(f"slurm-{number}.out").read_text()
    check(pipeline, fatal)


def test_unreliable_choice_is_refused(cluster, pipeline):
    """One line says what is wrong, whatever the number of ranks."""
    srun = ("srun", "--mpi=pmi2", "--kill-on-bad-exit=1", "-N2", "--ntasks-per-node=2")
    environment = {**cluster.environment, "FI_PROVIDER": "sockets"}
    done = cluster.call(*srun, "papympi", "run", *ARGUMENTS, cwd=pipeline, env=environment)
    assert done.returncode == 2
    assert done.stderr.count("papympi: error: FI_PROVIDER=sockets lets MPICH send") == 1
    assert "Terminated" not in done.stderr
