"""What the system refuses a pool of papympi's own is told as that."""

import resource
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import papympi
from papympi import PoolError

resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    print(len(list(papympi.map(abs, range(9), pool=sys.argv[1]))))
except PoolError as error:
    print(error)
"""


@pytest.mark.parametrize("files", [12, 16])
def test_too_many_open_files(files, tmp_path):
    """With the way out, and without the advice to take the pool that it is."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, "processes:16", str(files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "pool 'map': the system refused what it needs to open: [Errno 24] Too many open files" in done.stdout
    assert "ulimit -n" in done.stdout
    assert "takes its place" not in done.stdout


WITH_MANY_FILES = """
import os, resource
import papympi

resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
for pool in ("inline", "threads:2", "processes:2", "mpi:1", "asyncio:2"):
    print(sum(papympi.map(abs, range(-9, 1), pool=pool, stride=1)))
"""


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2048, reason="nobody can have so many files open")
def test_a_thousand_files_are_open(tmp_path):
    """`select` knows no descriptor above 1023: waits ask it only for those below."""
    script = tmp_path / "script.py"
    script.write_text(WITH_MANY_FILES)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["45"] * 5, done.stderr
