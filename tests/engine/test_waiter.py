"""What ends a wait. A wait that nothing ends lasts a second: a hundred in a row, and the test would be out of time."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

import pytest

from papympi.engine.scheduling import Waiter

OFTEN = 100


class Piped:
    """A pool that rings through a pipe, or has to be polled."""

    def __init__(self, reader=None, deadline=None):
        self.reader, self.due = reader, deadline

    def fileno(self):
        return self.reader

    def deadline(self):
        return self.due


@pytest.fixture
def waiting():
    """Return what makes waiters, which are closed in the end."""
    made = []

    def make(*pools):
        made.append(Waiter(pools))
        return made[-1]

    yield make
    for waiter in made:
        waiter.close()


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_wake_ends_next_wait(waiting, pipe):
    """Whoever wakes it before it waits is not overlooked."""
    waiter = waiting(Piped(pipe[0]))
    for _ in range(OFTEN):
        waiter.wake()
        waiter.wait()


def test_wake_ends_rest(waiting, pipe):
    waiter = waiting(Piped(pipe[0]))
    for _ in range(OFTEN):
        waiter.wake()
        waiter.rest()


def test_other_thread_wakes(waiting, pipe):
    waiter, turns = waiting(Piped(pipe[0])), threading.Semaphore(0)

    def ring():
        while turns.acquire() and not done:
            waiter.wake()

    done = []
    thread = threading.Thread(target=ring)
    thread.start()
    for _ in range(OFTEN):
        turns.release()
        waiter.wait()
    done.append(True)
    turns.release()
    thread.join()


def test_news_end_wait(waiting, pipe):
    """A pool that has something to collect ends the wait, whichever of several it is."""
    idle, busy = os.pipe(), pipe
    waiter = waiting(Piped(idle[0]), Piped(busy[0]))
    os.write(busy[1], b"!")
    for _ in range(OFTEN):
        waiter.wait()
    os.close(idle[0])
    os.close(idle[1])


@pytest.mark.parametrize("whose", ["pool", "caller"])
def test_deadline_ends_wait(waiting, pipe, whose):
    """A pool's deadline ends the wait, and so does the caller's, also when it is past."""
    past = time.monotonic() - 1.0
    waiter = waiting(Piped(pipe[0], past if whose == "pool" else past + 1000))
    for _ in range(OFTEN):
        waiter.wait(past if whose == "caller" else past + 1000)


def test_polled_pool_is_looked_at(waiting, pipe):
    """Where one pool has to be polled, no wait is long."""
    waiter = waiting(Piped(pipe[0]), Piped(None))
    for _ in range(2 * OFTEN):
        waiter.wait()
    assert waiter.polls


def test_ring_is_heard_once(waiting, pipe):
    """A ring that has ended a wait does not end the next one, too."""
    for wait in ("wait", "rest"):
        waiter = waiting(Piped(pipe[0]))
        waiter.wake()
        waiter.wake()
        getattr(waiter, wait)()
        bell = waiter._doorbell.fileno()
        assert select.select([bell], [], [], 0)[0] == []


def test_closed_leaves_nothing(pipe):
    descriptors = set(Path("/proc/self/fd").iterdir())
    Waiter([Piped(pipe[0])]).close()
    assert set(Path("/proc/self/fd").iterdir()) == descriptors
