"""What is shown to people: whatever values say, no control character reaches a terminal."""

import re
import shutil
from pathlib import Path

import pytest

import papympi.cli
from papympi.model.telling import UNSAFE

PIPELINE = r"""
import logging
from papympi import node

EVIL = "\x1b[2J\x1b]0;title\x07\x9b5A\u202e\x7f"

class Odd:
    def __repr__(self):
        return EVIL

@node
def f(x):
    print(EVIL + "\x1b[31mred\x1b[0m")
    logging.getLogger("far").error("%s", EVIL)
    if x == 2:
        raise ValueError(EVIL)
    return {0: EVIL, 1: Odd(), 3: [1j, EVIL]}.get(x, x)

@node
def table(f: list):
    return [{EVIL: EVIL, 1: 2}]
"""

PRINTED = "\x1b[2J\x1b]0;title\x07\x9b5A\u202e\x7f\x1b[31mred\x1b[0m"


def test_one_way_out():
    """What a command says goes through `words`, which sees to it; it was left to each place that spoke."""
    folder = Path(papympi.cli.__file__).parent
    speak = [path.name for path in folder.glob("*.py") if re.search(r"click\.s?echo\(|\bprint\(", path.read_text())]
    assert sorted(speak) == ["main.py", "submit.py", "words.py"]  # the help page of click, and a script byte for byte


@pytest.mark.parametrize("pool", ["threads:2", "processes:2"])
def test_no_control_characters(call, pool):
    """Of values, messages, prints, logs, warnings and reports; what functions print may have colours."""
    run = call(
        "run", "p.py", "--input", "x=0..5", "--target", "f", "--pool", f"*={pool}", "--run-dir", "d", "--output=-"
    )
    assert "\x1b[31mred\x1b[0m" in run[2]
    assert "title\\x07" in run[2]
    rest = [
        call(*words.split())
        for words in ("failures d", "status d", "replay d f 2", f"run p.py --input x=0..2 --pool *={pool}")
    ]
    rest[2] = (rest[2][0], *(text.replace(PRINTED, "") for text in rest[2][1:]))  # a replay is called here, as it is
    for _, out, err in (run, *rest):
        assert not UNSAFE.search(re.sub(r"\x1b\[\d*m", "", (out + err)))
    assert [code for code, *_ in (run, *rest)] == [1, 0, 0, 1, 0]


@pytest.fixture
def shares(call, project):
    """Return the run directories of two shares whose results went elsewhere."""
    (project / "out").mkdir()
    for share in (0, 1):
        words = ("run", "p.py", "--input", "x=4..8", "--target", "f", "--pool", "*=inline", "--shard", f"{share}/2")
        assert call(*words, "--run-dir", f"part-{share}", "--output", f"out/{share}.jsonl")[0] == 0
    return [project / "part-0", project / "part-1"]


def test_merge_stays_inside(call, project, shares):
    """The record of a run said which file it read: any that there is, and what a link led to."""
    code, _, err = call("merge", *shares, "--output", "all.jsonl")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "the results of " in err
    assert "part-0 went to 'out/0.jsonl', and merge reads nothing outside of run directories: copy it to " in err
    (shares[0] / "0.jsonl").symlink_to(project / "out" / "0.jsonl")
    shutil.copy(project / "out" / "1.jsonl", shares[1])
    assert "0.jsonl is no file" in call("merge", *shares, "--output", "all.jsonl")[2]
    (shares[0] / "0.jsonl").unlink()
    shutil.copy(project / "out" / "0.jsonl", shares[0])
    assert call("merge", *shares, "--output", "all.jsonl")[0] == 0
    assert [line.split()[-1] for line in (project / "all.jsonl").read_text().splitlines()] == ["4}", "5}", "6}", "7}"]
    (project / "array").mkdir()
    (project / "array" / "part-0").symlink_to(shares[0])
    assert "part-0 is a link" in call("merge", project / "array", "--output", "all.jsonl")[2]


@pytest.mark.parametrize("name", ["..", ".", "/", "../x/.."])
def test_merge_is_not_led_out(name, call, project, shares):
    record = shares[0] / "run.json"
    record.write_text(record.read_text().replace("out/0.jsonl", name))
    code, _, err = call("merge", *shares, "--output", "all.jsonl")
    assert (code, len(err.splitlines())) == (2, 1), err
