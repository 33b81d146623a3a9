"""A suspended job (gang scheduling, SIGSTOP): time-outs count the time that a worker could run."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time

import psutil
import pytest

PROGRAM = """
import time
from pathlib import Path
from papympi import map

def work(x):
    Path("began").touch()
    for _ in range(10):
        time.sleep(0.1)
    return x

async def work_async(x):
    return work(x)

for result in map(WORK, range(2), pool="POOL", timeout=4, errors="keep"):
    print(result if isinstance(result, int) else result.error, flush=True)
"""


def stop(processes, number):
    for each in processes:
        with contextlib.suppress(psutil.Error):
            each.send_signal(number)


@pytest.mark.parametrize("who", ["all", "workers"])
@pytest.mark.parametrize("pool", ["inline", "threads:1", "asyncio", "processes:1", "mpi:1"])
def test_suspended_item_has_its_time(project, pool, who):
    """The clock went on while nobody could run: at SIGCONT the item was late, and failed or lost its worker."""
    if who == "workers" and pool not in {"processes:1", "mpi:1"}:
        pytest.skip("its workers are the program")
    work = "work_async" if pool == "asyncio" else "work"
    (project / "program.py").write_text(PROGRAM.replace("POOL", pool).replace("WORK", work))
    process = subprocess.Popen(
        [sys.executable, "program.py"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 30
    while not (project / "began").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    root = psutil.Process(process.pid)
    workers = [each for each in root.children(recursive=True) if each.name() == "papympi-worker"]
    suspended = [root, *root.children(recursive=True)] if who == "all" else workers
    stop(suspended, signal.SIGSTOP)
    time.sleep(6)
    stop(suspended, signal.SIGCONT)
    out, _ = process.communicate(timeout=40)
    assert out == "0\n1\n"
