"""What MPICH sends through between hosts. Two hosts are this machine by two names, which MPICH takes for two."""

from __future__ import annotations

import json
import os

import pytest

from papympi.errors import LaunchError
from papympi.workers.ranks.providers import check_choice, may_span_hosts, without_unreliable

TWO_HOSTS = ("-launcher", "fork", "-hosts", "localhost,127.0.0.1", "-ppn", "2")
PIPELINE = """
import numpy as np
from papympi import node

@node(pool="mpi", stride=1)
def fill(x):
    return np.full(1_000_000 if x % 10 == 0 else x % 7, x, dtype=float)

@node(pool="mpi", stride=3)
def check(x, fill):
    assert (fill == x).all()
    return [x, len(fill)]

@node(pool="mpi")
def parts(check):
    yield from check

@node(pool="mpi")
def twice(parts):
    return 2 * parts

@node(gather=True, pool="mpi")
def row(twice):
    return twice
"""
ITEMS = 300


@pytest.fixture
def run_on_two_hosts(mpich, tmp_path):
    """Runs the pipeline on four ranks of two hosts, with more variables in the environment."""
    (tmp_path / "far.py").write_text(PIPELINE)

    def run(*options, **variables):
        words = (*TWO_HOSTS, "-n", "4", mpich.bin / "papympi", "run", "far.py", "--input", f"x=0..{ITEMS}", *options)
        return mpich.run(0, "mpiexec", *words, cwd=tmp_path, env={**os.environ, **variables}, timeout=50)

    return run


@pytest.mark.parametrize("isolate", ["true", "false"])
@pytest.mark.parametrize("variables", [{}, {"MPIR_CVAR_CH4_NETMOD": "ofi"}], ids=["usual", "libfabric"])
def test_results_are_whole_between_hosts(run_on_two_hosts, tmp_path, variables, isolate):
    """Libfabric prefers a provider that loses messages and changes their order; runs crashed or never ended."""
    (tmp_path / "papympi.toml").write_text(f"[pools.mpi]\nisolate = {isolate}\n")
    done = run_on_two_hosts("--target", "row", "--output", "out.jsonl", **variables)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line)["value"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows == [[2 * x, 2 * (1_000_000 if x % 10 == 0 else x % 7)] for x in range(ITEMS)]


def test_unreliable_choice_is_refused(run_on_two_hosts):
    done = run_on_two_hosts(FI_PROVIDER="sockets", MPIR_CVAR_CH4_NETMOD="ofi")
    assert done.returncode != 0
    assert done.stderr.count("papympi: error: FI_PROVIDER=sockets lets MPICH send") == 1
    assert "set FI_PROVIDER=tcp" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_host_may_choose(mpich, tmp_path):
    """The ranks of one host share memory, and libfabric sends nothing."""
    (tmp_path / "near.py").write_text("from papympi import node\n\n@node(pool='mpi')\ndef same(x):\n    return x\n")
    environment = {**os.environ, "FI_PROVIDER": "sockets", "MPIR_CVAR_CH4_NETMOD": "ofi"}
    done = mpich.run(3, "papympi", "run", "near.py", "--input", "x=0..4", cwd=tmp_path, env=environment)
    assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr


@pytest.mark.parametrize(
    "choice",
    [{}, {"FI_PROVIDER": ""}, {"FI_PROVIDER": "tcp"}, {"FI_PROVIDER": "^sockets"}, {"FI_PROVIDER": "verbs,psm3"}],
)
def test_reliable_choices_are_taken(choice):
    check_choice(choice)


@pytest.mark.parametrize("value", ["sockets", "tcp,sockets", "Sockets", "udp", "udp;ofi_rxd", "sockets;ofi_rxm"])
@pytest.mark.parametrize("variable", ["FI_PROVIDER", "MPIR_CVAR_OFI_USE_PROVIDER"])
def test_unreliable_choices_are_named(variable, value):
    with pytest.raises(LaunchError, match=f"^{variable}={value} lets MPICH"):
        check_choice({variable: value})


@pytest.mark.parametrize(
    ("before", "within"),
    [
        (None, "^sockets,udp"),
        ("", "^sockets,udp"),
        ("^udp,efa", "^udp,efa,sockets"),
        ("tcp", "tcp"),
    ],
)
def test_environment_is_as_before(before, within):
    """What is left out is MPI's alone: the user's programs see what they would have seen."""
    environ = {} if before is None else {"FI_PROVIDER": before}
    kept = dict(environ)
    with without_unreliable(environ):
        assert environ == {"FI_PROVIDER": within}
    assert environ == kept


@pytest.mark.parametrize(
    ("environ", "spans"),
    [
        ({}, True),
        ({"MPI_LOCALNRANKS": "2", "PMI_SIZE": "4"}, True),
        ({"MPI_LOCALNRANKS": "4", "PMI_SIZE": "4"}, False),
        ({"PMI_SIZE": "4", "SLURM_STEP_NUM_NODES": "1"}, False),
        ({"PMI_SIZE": "4", "SLURM_STEP_NUM_NODES": "2"}, True),
    ],
)
def test_launchers_tell_of_hosts(environ, spans):
    assert may_span_hosts(environ) == spans
