"""Standard input and output of `papympi run` are the run's alone, whatever node functions and their programs do."""

import json
import subprocess
import sys
import textwrap

import pytest

from papympi.testing.driver import POOLS

CHATTY = """
import ctypes, os, subprocess, sys

from papympi import node

print("loading")

@node
def aligned(sample):
    subprocess.run(["echo", f"tool: {sample}"], check=True)
    os.write(1, b"descriptor\\n")
    sys.stdout.buffer.write(b"buffer\\n")
    print("dunder", file=sys.__stdout__)
    ctypes.CDLL(None).printf(b"printf\\n")
    print("print")
    return sample
"""
WORDS = ("loading", "tool: 1", "tool: 2", "descriptor", "buffer", "dunder", "printf", "print")

GREEDY = """
import subprocess, sys

from papympi import node

@node
def length(name):
    eaten = subprocess.run(["head", "-n", "1"], capture_output=True, check=True).stdout.decode()
    try:
        asked = input()
    except EOFError:
        asked = "end"
    return [name, eaten, asked, sys.stdin.read()]
"""


@pytest.fixture
def pipeline(project):
    """Return what writes a pipeline."""

    def write(text):
        (project / "pipeline.py").write_text(textwrap.dedent(text))

    return write


@pytest.mark.parametrize("output", ["-", ""])
@pytest.mark.parametrize("pool", POOLS)
def test_only_results_in_stdout(papympi, pipeline, pool, output):
    pipeline(CHATTY)
    options = ["--pool", f"*={pool}", "--no-progress", *(["--output", output] if output else [])]
    done = papympi("run", "pipeline.py", "--input", "sample=[1, 2]", *options)
    assert done.returncode == 0, done.stderr
    values = [json.loads(line) for line in done.stdout.splitlines()]
    assert [value["value"] if output else value for value in values] == [1, 2]
    for word in WORDS:
        assert word in done.stderr


def test_only_results_under_mpiexec(mpich, project, pipeline):
    """Other ranks and what they start keep off standard output, too."""
    pipeline(CHATTY)
    for isolate in ("true", "false"):
        (project / "papympi.toml").write_text(f"[pools.processes]\nbackend = 'mpi'\nisolate = {isolate}\n")
        done = mpich.run(3, "papympi", "run", "pipeline.py", "--input", "sample=[1, 2]", "--no-progress")
        assert done.stdout == "1\n2\n", done.stderr
        for word in WORDS:
            assert word in done.stderr


@pytest.mark.parametrize("pool", POOLS)
def test_input_is_not_eaten(papympi, pipeline, pool):
    """Nothing that a node does reads the lines of the run's input; it finds the end of it."""
    pipeline(GREEDY)
    lines = [f"line {number}" for number in range(30)]
    run = ("run", "pipeline.py", "--input", "name=-", "--pool", f"*={pool}", "--no-progress")
    done = papympi(*run, given="\n".join(lines))
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[line, "", "end", ""] for line in lines]


def test_input_stays_without_dash(papympi, pipeline):
    """Without an input `-` standard input is the pipeline's own, as a script's is: a source may read it."""
    pipeline("""
        import sys
        from papympi import node

        @node
        def line():
            yield from sys.stdin.read().split()
    """)
    assert papympi("run", "pipeline.py", "--no-progress", given="a\nb\n").stdout == '"a"\n"b"\n'


def test_closed_streams(project, pipeline):
    """A run without standard input or error gets through."""
    pipeline(CHATTY)
    options = "--input sample=[1] --pool '*=inline' --no-progress"
    command = f"{sys.executable} -m papympi run pipeline.py {options} <&- 2>&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_exit_words_are_no_results(papympi, pipeline):
    """What is printed when the interpreter ends does not come behind the results."""
    pipeline("""
        import atexit
        from papympi import node

        atexit.register(print, "bye")

        @node
        def same(number):
            return number
    """)
    done = papympi("run", "pipeline.py", "--input", "number=0..2", "--pool", "*=threads", "--no-progress")
    assert done.stdout == "0\n1\n"
    assert "bye" in done.stderr


def test_scripts_keep_their_output(project):
    """In a program of one's own the descriptors stay what they are; those of workers go to standard error."""
    (project / "script.py").write_text(
        "import os, sys\nimport papympi\n\ndef speak(x):\n    os.write(1, b'below\\n')\n    return x\n\n"
        "print(list(papympi.map(speak, [1], pool=sys.argv[1])), flush=True)\nos.write(1, b'own\\n')\n"
    )
    for pool, out, err in (("inline", "below\n[1]\nown\n", ""), ("processes", "[1]\nown\n", "] below\n")):
        argv = [sys.executable, "script.py", pool]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=True)
        assert done.stdout == out
        assert done.stderr.endswith(err)
