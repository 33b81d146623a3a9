"""Who reads inputs and calls inline nodes: the caller's thread, with its settings; another one only where it must."""

import asyncio
import decimal
import io
import itertools
import os
import queue
import signal
import sqlite3
import sys
import threading
import time

import pytest

import papympi
from papympi import Graph, NodeError
from papympi.runner.readers import choose_reader

LOCAL = threading.local()
DATABASE = sqlite3.connect(":memory:")


@pytest.fixture
def cursor():
    with sqlite3.connect(":memory:") as database:
        database.execute("create table gene (name)")
        database.executemany("insert into gene values (?)", [(f"g{number}",) for number in range(100)])
        yield database.execute("select name from gene")
    database.close()


def until(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def slowly(values):
    for value in values:
        time.sleep(0.001)
        yield value


def numbers():
    yield from range(9)


def waits_for(event):
    yield event.wait(1)


def names_local():
    time.sleep(0)
    yield LOCAL


def handles_signals():
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    yield time.sleep(0)


class Rows:
    """Rows that a method waits for."""

    def __iter__(self):
        yield self.fetch()

    def fetch(self):
        time.sleep(0)


class Kept:
    """Rows of a connection that it keeps."""

    def __init__(self):
        self.database = DATABASE

    def __iter__(self):
        time.sleep(0)
        yield from self.database.execute("select 1")


@pytest.mark.parametrize(
    ("reader", "make"),
    [
        ("anybody", lambda: [1, 2]),
        ("anybody", lambda: range(3)),
        ("anybody", itertools.count),
        ("caller", numbers),
        ("caller", lambda: map(str, numbers())),
        ("caller", lambda: DATABASE.execute("select 1")),
        ("caller", lambda: slowly(row for row in DATABASE.execute("select 1"))),
        ("caller", lambda: itertools.islice(slowly(DATABASE.execute("select 1")), 3)),
        ("caller", names_local),
        ("caller", handles_signals),
        ("caller", Kept),
        ("caller", lambda: (x for x in [io.StringIO("data")])),
        ("thread", lambda: slowly([1])),
        ("thread", lambda: zip(numbers(), slowly([1]), strict=False)),
        ("thread", lambda: (x for x in slowly([1]))),
        ("thread", lambda: waits_for(threading.Event())),
        ("thread", lambda: iter(queue.Queue().get, None)),
        ("caller", lambda: io.StringIO("line\n")),
        ("caller", lambda: iter([sys.stdin])),
        ("thread", Rows),
    ],
)
def test_reader_is_chosen(reader, make):
    """By what an iterable holds and names: what is tied to a thread outweighs what waits."""
    assert choose_reader([make()]) == reader


def test_objects_are_not_touched():
    """A proxy may not be asked for anything yet."""

    class Proxy:
        def __getattribute__(self, name):
            raise RuntimeError

    proxy = Proxy()
    assert choose_reader([(proxy for _ in range(3))]) == "caller"


def test_partners_share_a_reader():
    assert choose_reader([[1], numbers()]) == "caller"
    assert choose_reader([numbers(), slowly([1])]) == "thread"
    assert choose_reader([DATABASE.execute("select 1"), slowly([1])]) == "caller"


@pytest.mark.parametrize("wrap", [iter, lambda rows: (row for row in rows), lambda rows: map(tuple, rows), slowly])
def test_rows_of_a_database(pool, cursor, wrap):
    assert sum(papympi.map(lambda row: len(row[0]), wrap(cursor), pool=pool)) == 290


def test_source_node_of_a_database(pool):
    """Its function names a connection of the script."""
    graph = Graph()
    graph.add(lambda: slowly(DATABASE.execute("select 7")), name="row", pool="pool")
    graph.add(lambda row: row[0], name="value", pool="pool")
    assert list(papympi.run(graph=graph, pools={"pool": pool})) == [7]


@pytest.mark.parametrize("pause", [lambda: None, lambda: time.sleep(0.001)])
def test_rows_have_the_callers_settings(pool, pause):
    """Those that a context keeps, whoever reads."""

    def digits():
        for number in range(3, 50):
            pause()
            yield len(str(decimal.Decimal(1) / (3 * number)))

    with decimal.localcontext() as context:
        context.prec = 50
        found = list(papympi.map(int, digits(), pool=pool))
    assert min(found) > 40


def test_rows_have_the_callers_thread(pool):
    """Also those that wait, if they name what only a thread has."""
    LOCAL.first = 5

    def count():
        for number in range(LOCAL.first, LOCAL.first + 20):
            time.sleep(0.001)
            yield number

    assert list(papympi.map(abs, count(), pool=pool)) == list(range(5, 25))


def test_what_waits_holds_up_nobody(pool):
    """A result may be what the next row waits for."""
    todo = queue.Queue()
    todo.put(5)
    found = []
    for value in papympi.map(lambda number: number - 1, iter(todo.get, 0), pool=pool):
        found.append(value)
        todo.put(value)
    assert found == [4, 3, 2, 1, 0]


def test_pipe_holds_up_nobody():
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as lines, open(writing, "w", encoding="utf-8") as pipe:  # noqa: PTH123 -- descriptors have no path
        pipe.write("1\n")
        pipe.flush()
        running = papympi.map(int, lines, pool="threads")
        assert next(running) == 1
        pipe.write("2\n")
        pipe.close()
        assert list(running) == [2]


def test_wrong_thread_says_the_way_out():
    """Where nothing tells that an iterator is tied, the error does."""
    hidden = [DATABASE] * 20

    def rows():
        time.sleep(0)
        yield from hidden[0].execute("select 1")

    assert choose_reader([rows()]) == "thread"
    with pytest.raises(NodeError, match="another thread reads it"):
        list(papympi.map(abs, rows(), pool="threads"))


def test_interrupt_within_rows(pool):
    """Ctrl-C reaches the code that is running."""

    def rows():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(papympi.map(abs, rows(), pool=pool))


def test_async_rows_have_the_settings():
    async def digits():
        await asyncio.sleep(0)
        yield len(str(decimal.Decimal(1) / 3))

    graph = Graph()
    graph.add(digits)
    graph.add(abs, name="value", inputs={"x": "digits"}, pool="inline")
    with decimal.localcontext() as context:
        context.prec = 50
        assert list(papympi.run(graph=graph)) == [52]


def test_inline_is_called_by_who_asks():
    """However long the consumer is away."""
    graph, threads = Graph(), []
    graph.add(lambda x: threads.append(threading.current_thread()), name="glue", pool="inline", stride=1)
    for number, _ in enumerate(papympi.run({"x": range(300)}, graph=graph, admission=4)):
        if number % 50 == 0:
            time.sleep(0.02)
    assert set(threads) == {threading.current_thread()}


@pytest.mark.parametrize("retries", [0, 2])
def test_workers_beside_inline_go_on(retries):
    """While the consumer is away the other pools work until they wait for it."""
    graph, glued, done = Graph(), [], []

    def glue(done):
        glued.append(threading.current_thread())
        if retries and len(glued) == 2:
            raise ValueError

    graph.add(done.append, name="done", inputs={"x": "x"}, pool="threads", stride=1, fuse=False)
    graph.add(glue, pool="inline", stride=1, retries=retries, backoff=0.001)
    graph.add(lambda glue: glue, name="last", pool="threads", stride=1)
    running = papympi.run({"x": range(60)}, graph=graph, pools={"threads": "threads:2"}, admission=20)
    next(running)
    assert until(lambda: len(done) >= 15)
    called = len(glued)
    time.sleep(0.05)
    assert len(glued) == called
    assert len(list(running)) == 59
    assert set(glued) == {threading.current_thread()}
    assert len(glued) == 60 + bool(retries)


def test_away_nobody_spins():
    """A thread that can do nothing without the consumer sleeps."""
    graph = Graph()
    graph.add(abs, name="done", inputs={"x": "x"}, pool="threads", stride=1)
    graph.add(lambda done: done, name="glue", pool="inline", stride=1)
    with papympi.run({"x": range(100)}, graph=graph, admission=10) as running:
        next(running)
        driver = running._session._driver
        assert until(lambda: driver._asleep)
