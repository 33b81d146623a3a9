"""The model of many workers: what it says has to follow from the cost of a batch."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "scaling.py"


def test_simulation_saturates():
    """The simulation saturates where the runner does."""
    done = subprocess.run([sys.executable, SCRIPT, "--cost", "100"], capture_output=True, text=True, check=True)
    first, *lines = done.stdout.splitlines()
    assert first.endswith("feeds 10,000 batches/s")
    table = {
        float(line.split(" s ")[0]): [float(share) for share in line.split(" s ")[1].split()] for line in lines[2:]
    }
    for batch_s, shares in table.items():
        for workers, share in zip((64, 256, 1000, 4000, 10_000, 30_000), map(float, shares), strict=True):
            most = min(1.0, float(batch_s) / (workers * 100e-6))
            assert 0.8 * most - 0.006 < share <= most + 0.006


def test_batch_cost_is_measured():
    """What a batch costs is measured."""
    done = subprocess.run([sys.executable, SCRIPT, "--batches", "500"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a batch costs the runner ")
