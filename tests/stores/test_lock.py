"""One run at a time in a directory, and nobody who is gone keeps others out."""

import json
import os
import subprocess
import sys
import time

import pytest

from papympi import JournalError
from papympi.stores.lock import STALE_S, Lock, describe_self, read_holder


def test_held_once_and_given_back(tmp_path):
    """It is held once and given back."""
    first, second = Lock(tmp_path), Lock(tmp_path)
    assert first.take() == ""
    assert read_holder(tmp_path)["pid"] == os.getpid()
    with pytest.raises(JournalError, match=f"is in use by process {os.getpid()} on .*papympi cancel"):
        second.take()
    first.release()
    assert second.take() == ""
    second.release()
    assert list(tmp_path.iterdir()) == []


def write_lock(folder, age=0.0, **said):
    path = folder / "lock"
    path.write_text(json.dumps({**describe_self(), **said}))
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.mark.parametrize(
    ("said", "age", "is_free"),
    [
        ({"pid": 1 << 22}, 0, True),  # no such process here
        ({"began": "1"}, 0, True),  # another process has its number now
        ({"boot": "earlier"}, 10, False),  # perhaps another host of the same name
        ({"boot": "earlier"}, 90, True),
        ({"host": "elsewhere"}, 10, False),
        ({"host": "elsewhere"}, STALE_S + 10, True),
        ({"host": "elsewhere", "job": ["4711_3", 0]}, 0, True),  # this job, before Slurm has begun it again
        ({"host": "elsewhere", "job": ["4711_3", 1]}, 0, False),  # another step of it
        ({"host": "elsewhere", "job": ["x; rm", 1]}, 0, False),
    ],
)
def test_the_lock_of_others(tmp_path, monkeypatch, said, age, is_free):
    for name, value in (("JOB_ID", 4714), ("ARRAY_JOB_ID", 4711), ("ARRAY_TASK_ID", 3), ("RESTART_COUNT", 1)):
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    write_lock(tmp_path, age, **said)
    lock = Lock(tmp_path)
    if is_free:
        assert "which is gone" in lock.take()
        lock.release()
    else:
        with pytest.raises(JournalError, match="is in use by"):
            lock.take()


def test_garbage_is_no_lock(tmp_path):
    (tmp_path / "lock").write_text("{")
    lock = Lock(tmp_path)
    lock.take()
    lock.release()


TAKES = """
import sys, time
from pathlib import Path
from papympi.stores.lock import Lock

Lock(Path(sys.argv[1])).take()
print("taken", flush=True)
sys.stdin.read()
"""


def test_two_takers_of_a_dead_lock(tmp_path):
    """Who had found the lock dead took it away although another had taken it over meanwhile: then both had it."""
    write_lock(tmp_path, pid=1 << 22)
    others = []

    def take_first(frame, event, _):
        if frame.f_code is Lock._break.__code__ and not others:
            argv = [sys.executable, "-c", TAKES, str(tmp_path)]
            others.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            assert others[0].stdout.readline() == "taken\n"

    sys.settrace(take_first)
    try:
        with pytest.raises(JournalError, match="is in use by process"):
            Lock(tmp_path).take()
    finally:
        sys.settrace(None)
        for each in others:
            each.communicate()
    assert read_holder(tmp_path)["pid"] == others[0].pid


def test_many_takers_of_a_dead_lock(tmp_path):
    """However many try at once, one has it."""
    for _ in range(5):
        write_lock(tmp_path, pid=1 << 22)
        argv = [sys.executable, "-c", TAKES, str(tmp_path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        takers = [subprocess.Popen(argv, text=True, **pipes) for _ in range(4)]
        said = [taker.stdout.readline() for taker in takers]
        for taker in takers:
            taker.communicate()
        assert sorted(said) == ["", "", "", "taken\n"]
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
