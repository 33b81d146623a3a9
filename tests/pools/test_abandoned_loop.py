"""What is left behind in a thread that could not be ended says nothing any more."""

import gc
import itertools
import logging
import threading
import time

import papympi


def forget_one():
    next(papympi.map(abs, itertools.count(), pool="asyncio"))


def test_abandoned_loop_is_silent(caplog):
    """A busy loop that does not end in time lost its descriptors, and complained of that when it went on."""
    before = set(threading.enumerate())
    with caplog.at_level(logging.ERROR, "asyncio"):
        threads = [threading.Thread(target=forget_one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
        end = time.monotonic() + 20
        while set(threading.enumerate()) - before and time.monotonic() < end:
            time.sleep(0.05)
    assert [record.message for record in caplog.records] == []
