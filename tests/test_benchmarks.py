"""The benchmarks run, find out whether results are right, and say what has not been measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TINY = ("--quick", "--peers", "standard", "--scale", "0.01", "--seconds", "0.01", "--rounds", "1")


@pytest.mark.timeout(170)
def test_table_and_json_agree(tmp_path):
    """One table, and the same as JSON."""
    path = tmp_path / "results.json"
    argv = [sys.executable, "-m", "benchmarks", *TINY, "--groups", "small,skew,scatter,overheads", "--json", str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=160, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    shown = done.stdout.splitlines()
    assert {row["group"] for row in found["rows"]} <= set(shown)
    for row in found["rows"]:
        assert row["ratio"] > 0, row["note"]
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["reached"] == (row["ratio"] >= row["goal"]["wanted"] if row["goal"] else None)
        assert any(f"{row['ratio']:.2f}" in line for line in shown if line.startswith(row["workload"]))
    measured = {row["peer"] for row in found["rows"]}
    assert {"ProcessPoolExecutor.map", "Pool.imap", "a perfect scheduler", "off"} <= measured
    assert any("beside mpi4py.futures" in line for line in found["unmeasured"])


@pytest.mark.parametrize(
    ("function", "message"),
    [("benchmarks.small:nothing", "AttributeError"), ("benchmarks.small:measure_papympi", "required positional")],
)
def test_failed_contender_is_told(function, message):
    """A contender that fails is told, and not a figure."""
    program = f"from benchmarks import harness, jobs; f = harness.play({{'x': jobs.Job({function!r})}}, 2); "
    program += "print(f.reached, f.failed['x'])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=True, env=environment)
    assert done.stdout.startswith("{} ")
    assert message in done.stdout


def test_wrong_results_no_figure():
    program = "from benchmarks.harness import check; check([1, 2, 4], [1, 2, 3])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("the first wrong one is number 2\n")
