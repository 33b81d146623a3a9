"""The command line with scripts as they are: tools that print and read, files as other programs write them, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.scripts.playing import BIN, environment, find_marked

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("nothing_left")]

POOLS = ("inline", "threads:2", "processes:2", "mpi:2")
READS = {
    "cat": 'subprocess.run(["cat"], stdout=subprocess.DEVNULL)',
    "read": "os.read(0, 100_000)",
    "shell": 'os.system("head -c 100000 > /dev/null")',
}
SAYS = {
    "tool": 'subprocess.run(["echo", f"tool: {sample} done"])',
    "write": 'os.write(1, b"written\\n")',
    "puts": 'import ctypes; ctypes.CDLL(None).puts(b"from C"); ctypes.CDLL(None).fflush(None)',
    "stdout": 'sys.__stdout__.write("past the capture\\n"); sys.__stdout__.flush()',
}


def run(folder, script, *words, stdin="", python=(), patience_s=60, **more):
    """Run a pipeline file by the command line; its text comes from here."""
    (folder / "script.py").write_text(
        f'"""A pipeline."""\nimport math, os, subprocess, sys, time\nfrom papympi import node\n{script}'
    )
    argv = [BIN / "python", *python, BIN / "papympi", "run", "script.py", *words, "--no-progress"]
    return subprocess.run(
        argv,
        cwd=folder,
        env=environment(**more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )


def lines(done):
    """Return the JSON lines of its standard output, which has nothing else."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("reads", "pool"), list(zip([*READS, "shell"], POOLS, strict=True)))
def test_stdin_is_for_inputs(tmp_path, reads, pool):
    """A node that reads standard input, or a program that it starts, takes no line away from the input."""
    script = f'@node(pool="work")\ndef length(name):\n    {READS[reads]}\n    return len(name)\n'
    numbers = "".join(f"{number}\n" for number in range(1000))
    done = run(tmp_path, script, "--input", "name=-", "--pool", f"work={pool}", stdin=numbers)
    assert lines(done) == [len(str(number)) for number in range(1000)]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("says", SAYS)
def test_stdout_is_for_results(tmp_path, says, pool):
    """What tools and C code write to standard output does not stand between results."""
    script = f'@node(pool="work")\ndef aligned(sample):\n    {SAYS[says]}\n    return sample\n'
    done = run(tmp_path, script, "--input", "sample=[1,2]", "--output", "-", "--pool", f"work={pool}")
    assert [line["value"] for line in lines(done)] == [1, 2]
    assert {"tool": "tool: 1 done", "write": "written", "puts": "from C", "stdout": "past"}[says] in done.stderr


SAME = '@node(pool="inline")\ndef same(row):\n    return row\n'
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", BOM + b"id,name\r\n1,A\r\n", [{"id": "1", "name": "A"}]),
        ("a.txt", BOM + b"first\r\nsecond\r\n", ["first", "second"]),
        ("a.jsonl", BOM + b'{"id": 1}\r\n{"id": 2}\r\n', [{"id": 1}, {"id": 2}]),
    ],
)
def test_files_of_other_programs(tmp_path, name, content, rows):
    """A byte order mark and ends of lines as Windows writes them are not part of a row."""
    (tmp_path / name).write_bytes(content)
    assert lines(run(tmp_path, SAME, "--input", f"row=@{name}")) == rows


def test_stdin_as_files(tmp_path):
    """Standard input is read as files are."""
    assert lines(run(tmp_path, SAME, "--input", "row=-", stdin="\ufeffa\r\nb\r\n")) == ["a", "b"]


@pytest.mark.parametrize(
    "value", ["math.factorial(2000)", "[1, {2: math.factorial(2000)}]", "math.nan", "{'x': [math.inf]}"]
)
def test_values_beyond_json(tmp_path, value):
    """A value that JSON cannot hold, or Python does not write, costs no other line."""
    script = f'@node(pool="inline")\ndef found(number):\n    return {value} if number == 2 else number\n'
    done = run(tmp_path, script, "--input", "number=[1, 2, 3]", "--output", "out.jsonl")
    assert "Traceback" not in done.stderr
    texts = (tmp_path / "out.jsonl").read_text().splitlines()

    def refuse(word):
        raise AssertionError(word)

    sys.set_int_max_str_digits(0)
    try:
        rows = [json.loads(text, parse_constant=refuse) for text in texts]
    finally:
        sys.set_int_max_str_digits(4300)
    values = [row.get("value") for row in rows]
    assert values[0] == 1
    assert values[-1] == 3


@pytest.mark.parametrize("pool", ["processes:2", "mpi:2"])
def test_long_tmpdir(tmp_path, pool):
    """A folder for temporary files as batch systems make them."""
    folder = tmp_path / ("d" * 110)
    folder.mkdir()
    script = '@node(pool="work")\ndef same(row):\n    return row\n'
    done = run(tmp_path, script, "--input", "row=1..3", "--pool", f"work={pool}", TMPDIR=str(folder))
    assert lines(done) == [1, 2]
    assert "plugin" not in done.stderr


def test_links_lead_back(tmp_path):
    """A link that leads back is not followed by `**`, or each file is given once."""
    (tmp_path / "loop" / "sub").mkdir(parents=True)
    (tmp_path / "loop" / "a.txt").touch()
    (tmp_path / "loop" / "sub" / "b.txt").touch()
    (tmp_path / "loop" / "sub" / "back").symlink_to("..")
    script = '@node(pool="inline")\ndef name(path):\n    return os.path.basename(path)\n'
    assert sorted(lines(run(tmp_path, script, "--input", "path=loop/**/*.txt"))) == ["a.txt", "b.txt"]


WAITS = {
    "sleeps": "time.sleep(600)",
    "never": "import threading; threading.Event().wait()",
    "ignores": "while True: pass",
}


@pytest.mark.parametrize("pool", ["processes:2", "mpi:2", "threads:2"])
@pytest.mark.parametrize("waits", WAITS)
def test_sigterm_ends(tmp_path, waits, pool):
    """One SIGTERM ends a run without a run directory, whatever its items do."""
    script = f'@node(pool="work", stride=1)\ndef slow(number):\n    open("began", "w")\n    {WAITS[waits]}\n'
    (tmp_path / "script.py").write_text(f"import time\nfrom papympi import node\n{script}")
    mark = f"PLAYED=sigterm-{os.getpid()}-{waits}-{pool}"
    argv = [BIN / "papympi", "run", "script.py", "--input", "number=0..100", "--pool", f"work={pool}", "--no-progress"]
    argv += ["--grace", "2"]
    with subprocess.Popen(
        argv,
        cwd=tmp_path,
        env=environment(PLAYED=mark.partition("=")[2]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            while not Path(tmp_path / "began").exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        finally:
            left = find_marked(mark)
            for each in left:
                each.kill()
    assert process.returncode == 143
    assert [each.pid for each in left if each.pid != process.pid] == []


CLASSES = """
from dataclasses import dataclass
import enum

class Phase(enum.Enum):
    NEW = 1

@dataclass
class Peak:
    at: int
    phase: Phase = Phase.NEW

@node(pool="work", stride=1)
def peak(number):
    return Peak(number)
"""


@pytest.mark.parametrize("pool", POOLS)
def test_pickled_classes(tmp_path, pool):
    """Results that are of classes of the script can be read from a .pkl file by who imports the script."""
    words = ["--input", "number=[1, 2]", "--pool", f"work={pool}", "--output", "out.pkl"]
    done = run(tmp_path, CLASSES, *words)
    assert done.returncode == 0, done.stderr
    reads = (
        "import pickle, script\nfound = []\nwith open('out.pkl', 'rb') as file:\n    while True:\n        try:\n"
        "            found.append(pickle.load(file))\n        except EOFError:\n            break\n"
        "values = [value for row in found for value in (row if isinstance(row, (list, tuple)) else [row])]\n"
        "values = [v['value'] if isinstance(v, dict) else getattr(v, 'value', v) for v in values]\n"
        "print([v == script.Peak(n) for n, v in zip((1, 2), (v for v in values if isinstance(v, script.Peak)))])"
    )
    read = subprocess.run(
        [BIN / "python", "-c", reads], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (read.stdout, read.stderr) == ("[True, True]\n", "")
