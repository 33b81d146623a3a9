"""`papympi replay` repeats an item with all that it had: seed, setups, resources, settings, folder, time-out."""

import io
import json
import os
import re
import subprocess
import sys

import pytest

from papympi.cli.main import main

PIPELINE = """
import ctypes, os, signal, time
import papympi
from papympi import node

READY, MADE = [], []

@papympi.setup
def prepare():
    READY.append("ready")

@papympi.resource
def table():
    MADE.append(1)
    yield {}

def say(*words):
    raise ValueError(f"{papympi.random().random()} {set(READY)} {os.getcwd()} {' '.join(map(str, words))}")

@node
def plain(x, table):
    if x == 1:
        say(list({"a", "b", "c", "d", "e", "f"}))
    if x == 2:
        raise SystemExit("leaves")
    return x

@node
def child(plain, table):
    yield from range(3)

@node
def one(child, plain, table):
    if (plain, child) == (0, 2):
        say(len(MADE))
    return child

@node(timeout=0.3)
def slow(x):
    while x == 3:
        pass
    return x

@node(timeout=0.3)
async def later(x):
    import asyncio
    if x == 1:
        say()
    await asyncio.sleep(100 * (x == 2))

@node(fold=list)
def total(seen, x, table):
    seen.append(papympi.random().random())
    if x == 4:
        say(seen[-2:], len(MADE))
    return seen

@node
def hurt(x):
    order = list({"a", "b", "c", "d", "e", "f"})
    if x == 1 and "HURT" not in os.environ:
        raise ValueError(str(order))
    if x == 1 and os.environ["HURT"] == "stop":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    if x == 1:
        print(order, flush=True)
        ctypes.string_at(0)
"""
OPTIONS = (
    "fusion = false\nseed = 11\npool = 'elsewhere'\n[strides]\nplain = 2\n[pools.elsewhere]\nbackend = 'processes'\n"
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the run directory of a run whose settings are in a file, and what its failures say, by node and key."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "p.py").write_text(PIPELINE)
    (folder / "papympi.toml").write_text(OPTIONS)
    command = [sys.executable, "-m", "papympi", "run", "p.py", "--input", "x=0..5", "--run-dir", "d", "--no-progress"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=50, check=False)
    rows = map(json.loads, (folder / "d" / "failures.jsonl").read_text().splitlines())
    return folder / "d", {(row["node"], *row["key"]): row["message"] for row in rows}


@pytest.fixture
def replay(kept, project, monkeypatch, capfd):
    """Return what repeats an item in this process, from another folder, and what came of it."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(node, *key, given=""):
        for name in [name for name in sys.modules if name.startswith("pipeline_")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        code = main(["replay", str(kept[0]), node, ",".join(map(str, key)), *(["--pdb"] if given else [])])
        return code, *capfd.readouterr()

    return call


@pytest.mark.parametrize("place", [("one", 0, 2), ("total", 4), ("later", 1), ("plain", 2)], ids=str)
def test_it_fails_as_it_did(kept, replay, place):
    """It called functions with their values alone: without a seed, and with resources made anew for each call."""
    code, out, _ = replay(*place)
    assert code == 1
    assert out.splitlines()[-1].partition(": ")[2] == kept[1][place]
    assert "papympi/" not in out


@pytest.mark.parametrize(
    ("place", "line"),
    [(("slow", 3), "-> while x == 3:\n"), (("later", 2), "-> return await future\n")],
    ids=["sync", "async"],
)
def test_what_is_too_slow_is_looked_at(replay, place, line):
    """It went on for ever; the debugger is where the item was at its time-out, not in the alarm."""
    code, out, _ = replay(*place, given="p 'at', 1 + 1\nq\n")
    assert code == 1
    assert "ItemTimeout: it took longer than 0.3 s" in out
    assert line in out
    assert "('at', 2)" in out
    assert "alarm.py" not in out


def test_ctrl_c_opens_the_debugger(replay, monkeypatch):
    """At the item; without it, Ctrl-C ends the replay as ever."""
    monkeypatch.setenv("HURT", "stop")
    code, out, _ = replay("hurt", 1, given="p 'x is', x\nq\n")
    assert code == 130
    assert "KeyboardInterrupt" in out
    assert "('x is', 1)" in out
    code, out, err = replay("hurt", 1)
    assert (code, out, err) == (130, "", "papympi: interrupted\n")


def test_a_crash_shows_where(kept):
    """By Python's stack, in a process with the same order of sets as the workers had."""
    done = subprocess.run(
        [sys.executable, "-m", "papympi", "replay", kept[0], "hurt", "1"],
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}, "HURT": "crash"},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == -11
    assert done.stdout == f"{kept[1]['hurt', 1]}\n"
    assert re.search(
        r'Fatal Python error: Segmentation fault\n(.*\n)+  File ".*p\.py", line \d+ in hurt\n', done.stderr
    )
