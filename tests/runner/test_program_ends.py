"""However a program ends while its run goes on, it ends at once, without a word of papympi's, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

BEGIN = """
import atexit, itertools, os, signal, sys, threading, time, papympi
numbers = papympi.map(lambda v: time.sleep(0.001) or v, itertools.count(), pool=sys.argv[1])
print(next(numbers), flush=True)
sys.stdin.readline()
"""

ENDINGS = {
    "the end": ("", 0, ""),
    "sys.exit": ("sys.exit(3)", 3, ""),
    "an exception": ("raise ValueError('mine')", 1, "ValueError: mine"),
    "os._exit": ("os._exit(4)", 4, ""),
    "abort": ("os.abort()", -6, ""),
    "its own SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", -15, ""),
    "its own SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
    "another program": ("os.execv('/bin/true', ['true'])", 0, ""),
    "a thread that reads": ("threading.Thread(target=lambda: [next(numbers) for _ in range(50)]).start()", 0, ""),
    "a daemon that reads": (
        "threading.Thread(target=list, args=(numbers,), daemon=True).start(); time.sleep(.1)",
        0,
        "",
    ),
    "a last word": ("atexit.register(lambda: print(next(numbers)))", 0, ""),
    "a circle": ("numbers = [numbers]; numbers.append(numbers)", 0, ""),
    "a generator": ("def rest(): yield from numbers\nkept = rest(); next(kept)", 0, ""),
    "a forked copy": ("if os.fork() == 0: sys.exit()\nos.wait()", 0, ""),
}


POOLS = ["threads:2", "processes:2", "asyncio", "mpi:2", "inline"]
TURNS = [(ending, POOLS[number % len(POOLS)]) for number, ending in enumerate(ENDINGS)]


@pytest.mark.parametrize(("ending", "pool"), TURNS)
def test_every_ending_is_clean(ending, pool, tmp_path):
    """A daemon thread that read a run was told, in a traceback, that the run had been cancelled."""
    text, code, said = ENDINGS[ending]
    path = tmp_path / "script.py"
    path.write_text(BEGIN + text)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = subprocess.Popen([sys.executable, str(path), pool], text=True, start_new_session=True, **pipes)
    try:
        assert program.stdout.readline() == "0\n"
        family = psutil.Process(program.pid).children(recursive=True)
        _, errors = program.communicate("\n", timeout=30)
    finally:
        program.kill()
    assert (program.returncode, errors.strip().rpartition("\n")[2]) == (code, said)
    assert psutil.wait_procs(family, timeout=10)[1] == []
