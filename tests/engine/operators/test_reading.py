"""A thread that reads rows ahead: what can be taken when, whom it wakes, and how it ends."""

import threading

import pytest

from papympi.engine.operators.reading import ReaderThread


class Gated:
    """Rows that come when a test lets them.

    Attributes:
        reader: the thread that reads them.
        came: a row has been put.
        rung: the reader has woken the engine.
    """

    def __init__(self):
        self.gates, self.came, self.rung, self.closed = threading.Semaphore(0), threading.Semaphore(0), [], []
        self.woken = threading.Event()
        self.interrupts = []
        self.reader = ReaderThread("row", self.read, self.close, [self.interrupt], self.wake)
        self.count = 0

    def read(self, put, count):
        for _ in range(count):
            self.gates.acquire()
            put([self.count])
            self.count += 1
            self.reader.feed_hungry()
            self.came.release()

    def wake(self):
        self.rung.append(threading.current_thread())
        self.woken.set()

    def interrupt(self):
        self.interrupts.append(threading.current_thread())

    def close(self):
        self.closed.append(threading.current_thread())
        self.woken.set()

    def let(self, count):
        """Let rows come, and wait until they have."""
        for _ in range(count):
            self.gates.release()
            self.came.acquire()

    def await_wake(self):
        self.woken.wait(30)
        self.woken.clear()

    def end(self):
        """Wait until the thread has closed its rows."""
        while not self.closed:
            self.await_wake()


@pytest.fixture
def rows():
    gated = Gated()
    yield gated
    for _ in range(9):
        gated.gates.release()
    gated.reader.close()


def test_reads_what_is_asked(rows):
    rows.reader.ask(2)
    rows.let(2)
    rows.await_wake()
    assert rows.reader.take() == ([0, 1], True)
    assert not rows.came.acquire(blocking=False)


def test_takes_what_has_come(rows):
    """A quota need not be complete."""
    rows.reader.ask(3)
    rows.let(2)
    assert rows.reader.take() == ([0, 1], False)
    rows.let(1)
    rows.await_wake()
    assert rows.reader.take() == ([2], True)


def test_nothing_has_come(rows):
    rows.reader.ask(2)
    assert rows.reader.take() is None
    rows.let(1)
    assert rows.reader.take() == ([0], False)
    assert rows.reader.take() is None


def test_wakes_at_quota_end(rows):
    rows.reader.ask(1)
    rows.let(1)
    rows.await_wake()
    assert len(rows.rung) == 1


def test_wakes_who_found_nothing(rows):
    """And nobody who has enough: a row is not worth a wake-up."""
    rows.reader.ask(4)
    rows.let(1)
    assert rows.rung == []
    rows.reader.take()
    rows.let(1)
    assert rows.rung == []
    rows.reader.take()
    assert rows.reader.take() is None
    rows.let(1)
    assert len(rows.rung) == 1


def test_quotas_follow_each_other(rows):
    for quota in (1, 2):
        rows.reader.ask(quota)
        rows.let(quota)
        rows.await_wake()
    assert rows.reader.take() == ([0, 1, 2], True)


def test_closes_rows_in_its_thread(rows):
    """An iterator is closed by the one who was in it."""
    rows.reader.ask(1)
    rows.let(1)
    rows.reader.close()
    rows.end()
    assert rows.closed[0].name == "papympi-row"


def test_closes_rows_without_a_thread(rows):
    """What was never asked for is closed at once."""
    rows.reader.close()
    assert rows.closed == [threading.current_thread()]


def test_close_interrupts_a_read(rows):
    """Whoever closes does not wait for a row, but ends what can be ended."""
    rows.reader.ask(1)
    rows.reader.close()
    assert (rows.interrupts, rows.closed) == ([threading.current_thread()], [])
    rows.let(1)
    rows.end()
