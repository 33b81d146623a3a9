"""Memory does not grow with the input; `benchmarks/bench_memory.py` prints it for 10^7 items."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "bench_memory.py"


@pytest.mark.timeout(170)
@pytest.mark.parametrize("pool", ["processes:2", "mpi:2"])
def test_a_long_input_takes_no_more_memory_than_a_short_one(pool):
    argv = [sys.executable, str(SCRIPT), pool, "100000", "400000"]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=160).stdout.splitlines()
    ratios = {line.split(":")[0]: line.rsplit(" x ", 1)[1] for line in lines if " x " in line}
    assert {name.split()[0] for name in ratios} == {"flat", "endless", "scatter"}
    measured = {name: float(ratio) for name, ratio in ratios.items() if ratio != "-"}
    assert all(ratio < 1.25 for ratio in measured.values()), measured
    assert len(measured) == 6, "a runner or a worker was not measured"
