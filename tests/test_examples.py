"""Every example runs, and gives the same on every pool."""

import subprocess
import sys
from pathlib import Path

import pytest

from papympi.testing.driver import POOLS, of_two

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

CALLS = {
    "word_counts.py": ["--input", f"path={EXAMPLES}/data/*.fasta"],
    "sequences.py": ["--input", f"fasta={EXAMPLES}/data/*.fasta"],
    "signals.py": [],
    "catalogue.py": [],
    "stdlib_metrics.py": ["--input", f"path={ROOT}/papympi/model/*.py", "--target", "module", "--target", "ranking"],
}
SCRIPTS = {
    "notebook.py": "  1.. 10:  19 steps\n 11.. 20:  20 steps\n",
}


def run_program(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the output of an example on the inline pool."""
    found = {}

    def look_up(name):
        if name not in found:
            found[name] = run(name, "inline", tmp_path_factory.mktemp("expected"))
        return found[name]

    return look_up


def run(name, pool, folder, *more):
    command = [sys.executable, "-m", "papympi", "run", str(EXAMPLES / name), "--pool", f"*={pool}"]
    return run_program(*command, "--output", "-", *CALLS[name], *more, cwd=folder)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("pool", [of_two(pool) for pool in POOLS if pool != "inline"])
def test_example(name, pool, expected, tmp_path):
    assert run(name, pool, tmp_path) == expected(name) != ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name, tmp_path):
    assert run_program(sys.executable, str(EXAMPLES / name), cwd=tmp_path).startswith(SCRIPTS[name])


def test_every_example_is_tested():
    """There is a test for every example."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*CALLS, *SCRIPTS}
