"""One run at a time in a directory, and nobody who is gone keeps others out."""

import json
import os
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
