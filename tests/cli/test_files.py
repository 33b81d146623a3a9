"""The files of `papympi run`: what is read and written is right, whatever is in them and in the way, or one line."""

import contextlib
import json
import math
import os
import pickle
import sys

import pytest

from papympi.cli.main import main

PIPELINE = """
from papympi import node

@node
def f(x):
    if isinstance(x, dict) or "bad" in getattr(x, "name", x if isinstance(x, str) else ""):
        raise ValueError("a dict" if isinstance(x, dict) else x)
    return x
"""
INLINE = ("--pool", "*=inline")
HUGE = 10**5000 + 7


def run(call, words, *options):
    inputs = [word for each in words.split() for word in ("--input", f"x={each}")]
    return call("run", "p.py", *inputs, *INLINE, *options)


def messages(path):
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


def test_outputs_of_one_folder(call, project):
    """Each has its own failures: one file for all of a folder was the last run's, or an earlier one's."""
    assert run(call, "bad1 good", "--output", "a.csv")[0] == 1
    assert run(call, "bad2", "--output", "a.jsonl")[0] == 1
    assert messages(project / "a.csv.failures.jsonl") == ["bad1"]
    assert messages(project / "a.jsonl.failures.jsonl") == ["bad2"]
    code, _, err = run(call, "good", "--output", "a.csv")
    assert (code, "failures" in err) == (0, False)
    assert sorted(path.name for path in project.glob("*.*")) == ["a.csv", "a.jsonl", "a.jsonl.failures.jsonl", "p.py"]


def test_earlier_failures_do_not_mislead(call, project):
    """Of a run to standard output, which replaces nothing that one could see: the earlier ones get another name."""
    for words, now, before in (("bad1", ["bad1"], None), ("bad2", ["bad2"], ["bad1"]), ("good", None, ["bad2"])):
        _, _, err = run(call, words)
        kept = [project / name for name in ("failures.jsonl", "failures.earlier.jsonl")]
        assert [messages(path) if path.exists() else None for path in kept] == [now, before]
        assert ("failures of an earlier run: failures.earlier.jsonl" in err) == (before is not None)


def test_failures_beside_no_device(call, project):
    """There is no place for a file beside a device or pipe."""
    assert run(call, "bad", "--output", _link(project / "null.csv", "/dev/null"))[0] == 1
    assert messages(project / "failures.jsonl") == ["bad"]


def _link(path, target):
    path.symlink_to(target)
    return path


def test_refused_run_keeps_the_directory(call, project):
    """A run that does not begin says nothing of failures: it took away what the earlier one had left."""
    assert run(call, "bad", "--run-dir", "d")[0] == 1
    for options in ([], ["--resume", "--seed", "5"]):
        assert run(call, "bad", "--run-dir", "d", *options)[0] == 2
        assert messages(project / "d" / "failures.jsonl") == ["bad"]


def test_missing_folder_is_one_line(call, project):
    code, _, err = run(call, "good", "--output", "new/x.csv")
    assert (code, err) == (2, "papympi: error: cannot write 'new/x.csv': there is no folder 'new'; make it first\n")


RUN = ("run", "p.py", "--input", "x=0..9", *INLINE)


@pytest.mark.parametrize("words", [RUN, (*RUN, "--output=-"), ("plan", "p.py"), ("--help",)], ids=len)
def test_full_standard_output_is_one_line(call, words, capfd):
    """On a full disk: it ended in a traceback, also where click wrote the page."""
    with _in_place_of(1, "stdout", "/dev/full"):
        code = main(words)
    lines = capfd.readouterr().err.splitlines()
    assert (code, lines[-1]) == (2, "papympi: error: cannot write to standard output: No space left on device")
    assert not any("Traceback" in line for line in lines)


@contextlib.contextmanager
def _in_place_of(number, stream, name):
    """Let a descriptor, and Python's stream of it, be another file."""
    kept, before = os.dup(number), getattr(sys, stream)
    opened = os.open(name, os.O_WRONLY)
    os.dup2(opened, number)
    os.close(opened)
    setattr(sys, stream, open(number, "w", closefd=False))  # noqa: SIM115 - closed below
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
        with contextlib.suppress(OSError):
            getattr(sys, stream).close()
        setattr(sys, stream, before)


def test_full_standard_error_ends_nothing(call, project, capfd):
    with _in_place_of(2, "stderr", "/dev/full"):
        code = main(RUN)
    assert (code, capfd.readouterr().out.split()) == (0, list("012345678"))


def test_names_need_not_be_utf8(call, project):
    """Of pipeline, inputs, output and run directory: `run.json` could not be written."""
    (project / "p\udce9.py").write_text(PIPELINE)
    for name in ("a\udce9.txt", "bad\udce9.txt"):
        (project / name).touch()
    words = ["run", "p\udce9.py", "--input", "x=*.txt", "--pool", "*=threads:2", "--run-dir", "d\udce9"]
    for more in ([], ["--resume"]):
        code, _, err = call(*words, "--output", "o\udce9.csv", *more)
        assert (code, "results: d\\udce9/o\\udce9.csv" in err) == (1, True), err
    assert (project / "d\udce9" / "o\udce9.csv").read_text() == "node,key,value\nf,[0],a\\udce9.txt\n"
    assert "complete" in call("status", "d\udce9")[1]
    assert "replay 'd\\udce9' f 1" in call("failures", "d\udce9")[1]
    assert "ValueError: bad\\udce9.txt" in call("replay", "d\udce9", "f", "1")[1]


def test_numbers_are_exact_in_a_run_directory(call, project):
    """Also those that JSON lacks and those of more than 4300 digits, which ended the run and each that resumed it."""
    (project / "rows.jsonl").write_text(f'NaN\n-Infinity\n1{"0" * 4999}7\n[NaN, 1{"0" * 4999}7]\n"bad"\n')
    for more in ([], ["--resume"]):
        assert run(call, "@rows.jsonl", "--run-dir", "d", "--output", "o.pkl", *more)[0] == 1
        with (project / "d" / "o.pkl").open("rb") as file:
            values = [pickle.load(file)[2] for _ in range(4)]
        assert math.isnan(values[0])
        assert math.isnan(values[3][0])
        assert [values[1], values[2], values[3][1]] == [-math.inf, HUGE, HUGE]
    assert run(call, "@rows.jsonl", "--nan=bare")[1].splitlines()[:2] == ["NaN", "-Infinity"]


def test_a_long_integer_is_told(call, project):
    """In the report of a failure, too, where its text could not be had."""
    _, _, err = run(call, f"{{'bad':7,'n':1{'0' * 5000}}}")
    assert "input: {'bad': 7, 'n': 1000" in err
