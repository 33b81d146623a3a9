"""Memory does not grow with the input; `make bench` prints it for 10^7 items."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def measure(workload, count, pool):
    """Return the peaks of the runner and of its largest worker, in MB."""
    arguments = json.dumps({"workload": workload, "count": count, "pool": pool})
    argv = [sys.executable, "-m", "benchmarks.jobs", "benchmarks.memory:measure", arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=80, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("figures: ")[1])


@pytest.mark.timeout(170)
@pytest.mark.parametrize("pool", ["processes:2", "mpi:2"])
@pytest.mark.parametrize("workload", ["flat", "endless", "scatter"])
def test_long_input_needs_no_more(workload, pool):
    """A long input takes no more memory than a short one."""
    short, long = (measure(workload, count, pool) for count in (100_000, 400_000))
    assert set(short) == set(long) == {f"{workload}, runner", f"{workload}, worker"}
    for name, peak in short.items():
        assert 0 < long[name] < 1.25 * peak, f"{name}: {long[name]} MB, {peak} MB of a short input"
