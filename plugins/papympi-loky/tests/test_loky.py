"""The plugin is found, and its pools keep the contract."""

import importlib.metadata
import threading
import time

import papympi_loky
import pytest

from papympi.testing import PoolContract, make_pool


class TestLoky(PoolContract):
    @pytest.fixture
    def pool_factory(self):
        (backend,) = papympi_loky.papympi_backends().values()
        return lambda: make_pool(backend, "loky", workers=2)


def test_entry_point_is_found():
    (point,) = importlib.metadata.entry_points(group="papympi", name="loky")
    assert point.load() is papympi_loky


def nap(data):
    time.sleep(60)
    return len(data)


def test_killed_executor_leaves_no_thread():
    """Loky writes the next calls into a pipe whose other end it keeps open: with its workers killed, for ever."""
    executor = papympi_loky.make_executor("loky", workers=2)
    for _ in range(8):
        executor.submit(nap, bytes(100_000))
    time.sleep(0.5)
    papympi_loky.end_executor(executor)
    end = time.monotonic() + 20
    while any(thread.name == "QueueFeederThread" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)
