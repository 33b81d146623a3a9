"""A doorbell is readable from a ring to the silence after it, whoever rings and however often."""

import select
import sys
import threading

import pytest

from papympi.transport.doorbell import Backoff, Doorbell


@pytest.fixture
def bell():
    bell = Doorbell()
    yield bell
    bell.close()


def is_readable(bell, seconds=0.0):
    return bool(select.select([bell], [], [], seconds)[0])


def test_a_fresh_bell_is_silent(bell):
    assert not is_readable(bell)


def test_a_ring_makes_it_readable(bell):
    bell.ring()
    assert is_readable(bell)


def test_silence_ends_a_ring(bell):
    bell.ring()
    bell.silence()
    assert not is_readable(bell)


def test_many_rings_are_one(bell):
    for _ in range(100_000):
        bell.ring()
    bell.silence()
    assert not is_readable(bell)


def test_silence_without_a_ring_is_fine(bell):
    bell.silence()
    bell.ring()
    assert is_readable(bell)


def test_it_rings_again(bell):
    for _ in range(3):
        bell.ring()
        assert is_readable(bell)
        bell.silence()


def test_any_thread_may_ring(bell):
    thread = threading.Thread(target=bell.ring)
    thread.start()
    assert is_readable(bell, 10)
    thread.join()


def test_a_closed_bell_may_be_rung():
    bell = Doorbell()
    bell.close()
    bell.ring()


def test_no_ring_is_lost(bell):
    """Whoever looks after each silence has seen everything in the end, and nothing is left in the socket."""
    rings, seen, interval = 20_000, 0, sys.getswitchinterval()
    made = [0, 0]

    def ring(place):
        for _ in range(rings):
            made[place] += 1
            bell.ring()

    threads = [threading.Thread(target=ring, args=(place,)) for place in range(2)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        while seen < 2 * rings and is_readable(bell, 5):
            bell.silence()
            seen = sum(made)
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen == 2 * rings
    bell.silence()
    assert not is_readable(bell)


class RingsBefore:
    """A socket during whose `recv` somebody rings."""

    def __init__(self, bell, sock):
        self._bell, self._sock = bell, sock
        self.fileno, self.close = sock.fileno, sock.close

    def recv(self, size):
        self._bell.ring()
        return self._sock.recv(size)


def test_ring_within_silence(bell):
    """Who rings while it is silenced has been seen, and the next ring counts."""
    bell._receive = RingsBefore(bell, bell._receive)
    bell.ring()
    bell.silence()
    assert not is_readable(bell)
    bell.ring()
    assert is_readable(bell)


def first_pause(backoff):
    return next(length for length in iter(backoff.next, None) if length)


def test_crowded_ranks_pause_longer():
    alone, few, many = (first_pause(Backoff(crowd)) for crowd in (1, 3, 64))
    assert alone == few < many / 10


def test_pauses_grow_and_reset():
    backoff = Backoff()
    assert backoff.next() == 0
    lengths = []
    while len(lengths) < 12:
        length = backoff.next()
        if length:
            lengths.append(length)
    assert lengths == sorted(lengths)
    assert lengths[-1] == 2e-3
    backoff.reset()
    assert backoff.next() == 0
