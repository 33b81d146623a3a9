"""What the system refuses a pool of papympi's own is told as that."""

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
