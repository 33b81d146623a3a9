"""The pool that is the runner itself."""

import os
import signal
import sys
import threading

import pytest

from papympi.pools.inline import BACKEND, InlinePool
from papympi.testing import Driver, build_map, build_scatter, values_of
from papympi.transport.task import Kind


def test_runs_in_calling_thread():
    """It evaluates in the calling thread."""
    pool = BACKEND.make("inline")
    pool.open(build_map(lambda x: (x, threading.get_ident(), os.getpid())))
    assert values_of(Driver(pool).call([object])) == [(object, threading.get_ident(), os.getpid())]
    pool.close()


def test_one_task_a_collect():
    pool = InlinePool("inline")
    pool.open(build_map(abs))
    driver = Driver(pool)
    for _ in range(3):
        driver.submit(Kind.CALL, [1])
    assert [len(pool.collect()) for _ in range(4)] == [1, 1, 1, 0]
    pool.close()
    assert pool.collect() == []


def test_exceptions_are_raised_ones():
    """Exceptions are the objects that were raised."""

    class Local(Exception):
        pass

    error = Local("x")

    def fail(x):
        raise error

    pool = InlinePool("inline")
    pool.open(build_map(fail))
    assert Driver(pool).call([1]).failures[0].error is error
    pool.close()


def test_ctrl_c_loses_nothing():
    """Ctrl-C is for the caller and loses nothing."""
    interrupt = [True]

    def node(x):
        if interrupt and interrupt.pop():
            signal.raise_signal(signal.SIGINT)
        return x

    pool = InlinePool("inline")
    pool.open(build_map(node))
    driver = Driver(pool)
    number = driver.submit(Kind.CALL, [1, 2])
    with pytest.raises(KeyboardInterrupt):
        pool.collect()
    assert values_of(driver.wait(number)) == [1, 2]
    pool.close()


def test_generators_close_with_pool():
    """Suspended generators are closed with the pool."""
    closed = []

    def count(n):
        try:
            yield from range(n)
        finally:
            closed.append(n)

    pool = InlinePool("inline")
    pool.open(build_scatter(count))
    driver = Driver(pool)
    driver.wait(driver.submit(Kind.START, [5], generator=1, chunk=2))
    assert closed == []
    pool.close()
    assert closed == [5]


def test_values_are_not_copied():
    value = [sys]
    pool = InlinePool("inline")
    pool.open(build_map(lambda x: x))
    assert values_of(Driver(pool).call([value]))[0] is value
    pool.close()
