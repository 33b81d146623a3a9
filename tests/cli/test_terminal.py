"""On a terminal: a live table below the results, which is gone at the end."""

import os
import pty
import re
import subprocess
import sys

import pytest

SLOW = """
import time
from papympi import node

@node(stride=1)
def slow(x):
    time.sleep(0.25)
    if x == 6:
        raise ValueError("six")
    return {"number": x}
"""


def replay(written):
    """Return the lines that a terminal shows at the end: it knows line ends, cursor up, and erase line."""
    lines, place = [""], 0
    for part in re.findall(r"\x1b\[[\d;?]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\n":
            place += 1
            lines += [""] * (place + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            place -= int(part[2:-1])
        elif part == "\x1b[2K":
            lines[place] = ""
        elif part[0] not in "\x1b\r":
            lines[place] += part
    return [line for line in lines if line]


@pytest.fixture
def on_terminal(project):
    """Return what runs `papympi` on a terminal and returns all that it writes there."""

    def call(*arguments):
        ours, theirs = pty.openpty()
        with open(ours, "rb", buffering=0) as reader:  # noqa: PTH123 - it is a descriptor
            process = subprocess.Popen(
                [sys.executable, "-m", "papympi", *arguments],
                stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            )  # fmt: skip
            os.close(theirs)
            written = b""
            try:
                while chunk := reader.read(65536):
                    written += chunk
            except OSError:  # how Linux says that nobody has the terminal open any more
                pass
            return process.wait(30), written.decode()

    return call


def test_live_table(on_terminal, project):
    (project / "slow.py").write_text(SLOW)
    code, written = on_terminal("run", "slow.py", "--input", "x=0..9", "--pool", "*=threads:1")
    assert code == 1
    assert re.search(r"\d%, \d\.\d s left", written)
    shown = replay(written)
    assert shown[:8] == [f'{{"number": {number}}}' for number in (0, 1, 2, 3, 4, 5, 7, 8)]
    assert shown[8].split() == ["node", "done", "failed", "dropped", "time", "rate"]
    assert not any("left" in line for line in shown)
    assert "[red]" not in written


def test_no_progress(on_terminal, project):
    (project / "slow.py").write_text(SLOW)
    _, written = on_terminal("run", "slow.py", "--input", "x=0..6", "--no-progress", "--pool", "*=threads:1")
    assert "left" not in written
    assert replay(written)[:6] == [f'{{"number": {number}}}' for number in range(6)]
