"""The soak, for a tenth of its length: items raise, kill their worker and hang under MPI, and all are accounted for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parent.parent / "benchmarks" / "soak.py"


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("nothing_left")
def test_soak_accounts_for_all():
    """Every item of a soak is accounted for."""
    done = subprocess.run([sys.executable, SOAK, "20000"], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("every item is accounted for\n")
    assert "{'ValueError': 20, 'WorkerLost': 1, 'ItemTimeout': 1}" in done.stdout
