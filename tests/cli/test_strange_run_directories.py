"""A run directory may be damaged, or somebody else's, or a trap: each command that reads it says one clear line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from papympi.cli.main import main

EXIT_CODES = (0, 1, 2)
OTHER = 65534
"""The number of another user."""


def boot():
    number = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{number} {Path('/proc/self/ns/pid').readlink()}"


def lock(**other):
    job = {"host": socket.gethostname(), "pid": 4194303, "boot": boot(), "began": "1", "job": None}
    return json.dumps({**job, **other})


def event(**other):
    told = {"event": "progress", "time": 1, "nodes": {"a": {"done": 1, "failed": 0}}, "seconds": 1, "length": 10}
    counts = dict.fromkeys(("pulled", "live", "delivered", "finished", "highest", "heaviest"), 1)
    return json.dumps({**told, **counts, "complete": False, **other})


NUMBERS = ("time", "seconds", "length", "pulled", "through")
DEEP = "[" * 100_000
FOLDER, PIPE, LINK = object(), object(), object()
WHOLE = {"run.json": "{}"}
PARTS = {
    "lock": [
        "", "\0", DEEP, "[]", FOLDER, PIPE, LINK,
        *(lock(pid=pid) for pid in ("7", None, [1], 1e300, 10**30, 2**31 + 5, -1, 0, 1, True)),
        *(lock(pid=pid, began="") for pid in (10**30, 4194303)),
        *(lock(host=host) for host in (None, 7, {})),
        *(lock(host="elsewhere", job=job) for job in (["a"], [{"a": 1}, 2], [1, 2, 3], "7", [7, 7])),
        lock(boot=None), lock(began=None),
    ],
    "run.json": [
        "[]", DEEP, "null", FOLDER, PIPE, LINK,
        *(json.dumps({"job": job}) for job in ({"a": 1}, "--all", "1; touch pwned", -1)),
        *(json.dumps({"options": options, "shard": [0, 1]}) for options in ([], None, "x", {"output": 5})),
        *(json.dumps({"shard": shard}) for shard in ("abc", [0, 10**9], [-1, 2], ["a", "b"], [2, 1], [0], {"a": 1})),
        json.dumps({"shard": [0, 1], "folder": 5, "options": {"target": 5, "output": "results/x.jsonl"}}),
        json.dumps({"options": {"target": "p.py", "inputs": 5, "strides": {}}}),
    ],
    "events.jsonl": [
        "hello\nworld", "[1]\n[2]", "1\nnull\n", DEEP, FOLDER, PIPE, LINK,
        *(event(finished=count) for count in ("abc", None, [1], float("nan"), float("inf"), -1, 10**400)),
        *(event(nodes=nodes) for nodes in ([1], {"a": 1}, {"a": {}}, {"a": {"done": "x", "failed": 0}}, "x")),
        *(event(**{name: value}) for name in NUMBERS for value in ("x", [1], {})),
        event(nodes={"\x1b]0;mine\x07\x1b[2J": {"done": 1, "failed": 0}}),
        event(nodes={"\udcff": {"done": 1, "failed": 0}}),
    ],
    "journal.sqlite": ["", "hello" * 1000, FOLDER, PIPE, LINK],
    "job": ["\x1b[31m-1; rm", "--all", FOLDER, PIPE, LINK],
}  # fmt: skip
CASES = [(part, what) for part, contents in PARTS.items() for what in contents]

TOLD = {"kind": "ValueError", "message": "m", "traceback": "t", "input": "i", "worker": "w", "attempts": 1}
ROWS = [
    ("n", "[1]", "abc"), ("n", "[1]", "[]"), ("n", "abc", json.dumps(TOLD)), ("n", '{"a": 1}', json.dumps(TOLD)),
    *(("n", "[1]", json.dumps({**TOLD, "kind": kind})) for kind in (5, "a\0b", "a\udcff")),
    ("n\x1b[2J", "[1]", json.dumps({**TOLD, "message": "\x1b]0;mine\x07", "traceback": "\x1b[2J", "worker": "\x1b"})),
    (None, None, None), (b"\xff", b"\xff", b"\xff"),
]  # fmt: skip


@pytest.fixture
def folder(project):
    path = project / "run"
    path.mkdir(mode=0o700)
    return path


def make(folder, part, what):
    for name, text in {**WHOLE, part: what}.items():
        path = folder / name
        if text is FOLDER:
            path.mkdir()
        elif text is PIPE:
            os.mkfifo(path)
        elif text is LINK:
            path.symlink_to(__file__)
        else:
            path.write_bytes(text.encode("utf-8", "surrogatepass"))


def ask(capfd, *arguments):
    """Call a command; return its exit code, once it is clear that what it said is fit for a reader."""
    code = main(list(map(str, arguments)))
    out, err = capfd.readouterr()
    assert code in EXIT_CODES
    assert code != 2 or len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    assert not {"\x1b", "\x07"} & {*out, *err}
    return code


def ask_all(capfd, folder):
    ask(capfd, "status", folder)
    ask(capfd, "status", folder, "--count")
    ask(capfd, "failures", folder)
    ask(capfd, "replay", folder, "n", "1")
    ask(capfd, "merge", folder, "--output", "out.jsonl")
    return ask(capfd, "cancel", folder)


@pytest.mark.parametrize(("part", "what"), CASES, ids=range(len(CASES)))
def test_damage_is_one_line(part, what, folder, capfd):
    """What a file says was used as it stood, whatever it was."""
    make(folder, part, what)
    assert ask_all(capfd, folder) == 2  # nothing runs there


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_damaged_failures_are_safe(row, folder, capfd):
    make(folder, "run.json", "{}")
    with sqlite3.connect(folder / "journal.sqlite") as connection:
        connection.execute("CREATE TABLE failures (node, key, told, failure, given, PRIMARY KEY (node, key))")
        connection.execute("INSERT INTO failures VALUES (?, ?, ?, '', '')", row)
    connection.close()
    ask_all(capfd, folder)


@pytest.mark.parametrize("what", [DEEP, FOLDER, PIPE, lock(pid=-1)], ids=range(4))
def test_run_with_strange_lock(what, folder, papympi, squares):
    """It is taken over, or the run is refused in one line."""
    make(folder, "lock", what)
    done = papympi("run", squares, "--input", "number=0..3", "--run-dir", folder, "--resume", "--no-progress")
    assert done.returncode in (0, 2), done.stderr
    assert done.returncode == 0 or len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("strange", ["others", "writable", "part of others", "writable part"])
def test_only_ones_own_is_read(strange, folder, capfd):
    """The lock of any directory was believed: `cancel` ended whatever process it named."""
    if "others" in strange and os.geteuid():
        pytest.skip("only root can give a file to somebody else")
    victim = subprocess.Popen(["sleep", "60"])
    try:
        began = Path(f"/proc/{victim.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        make(folder, "lock", lock(pid=victim.pid, began=began))
        path = folder / "lock" if "part" in strange else folder
        (os.chown(path, OTHER, OTHER) if "others" in strange else path.chmod(0o777))
        assert ask(capfd, "cancel", folder) == 2
        assert ask(capfd, "status", folder) == 2
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_no_other_process_is_ended(folder, capfd):
    """A lock may have come with the files of a colleague, and name a process of one's own."""
    victim = subprocess.Popen(["sleep", "60"])
    try:
        began = Path(f"/proc/{victim.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        make(folder, "lock", lock(pid=victim.pid, began=began))
        assert main(["cancel", str(folder)]) == 2
        assert f"process {victim.pid}, which the lock of {folder} names, is no run" in capfd.readouterr().err
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_run_itself_is_ended(folder, capfd):
    shutil.rmtree(folder)
    Path("slow.py").write_text(
        "import time\nfrom papympi import node\n\n@node(stride=1)\ndef slow(x):\n    time.sleep(0.1)\n"
    )
    words = ["run", "slow.py", "--input", "x=0..1000", "--pool", "*=threads:1", "--run-dir", folder, "--no-progress"]
    process = subprocess.Popen([sys.executable, "-m", "papympi", *map(str, words)], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 30
        while not (folder / "events.jsonl").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        assert ask(capfd, "cancel", folder) == 0
        _, err = process.communicate(timeout=40)
        assert process.returncode in (75, 128 + signal.SIGTERM), err
    finally:
        process.kill()
