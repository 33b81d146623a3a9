"""A run is paused, resumed, stopped, cancelled and closed at any time; a wrong time is answered with a `StateError`."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from papympi import Failure, Graph, NodeError, StateError, run
from papympi.pools.inline import InlinePool

MANY = 10_000_000


def graph_of(function, **options):
    graph = Graph("one")
    graph.add(function, name="node", inputs={"v": "x"}, pool="pool", **options)
    return graph


def start(function, pool, inputs, stride="auto", **options):
    return run({"x": inputs}, graph=graph_of(function, stride=stride), pools={"pool": pool}, **options)


def later(function, seconds=0.1):
    """Call a function soon, from another thread; return the thread."""
    timer = threading.Timer(seconds, function)
    timer.start()
    return timer


def wait_until_still(running):
    """Wait until a paused run does nothing any more, and return how far it is then: pulled, delivered, done."""
    seen = []
    while len(seen) < 8 or len(set(seen[-8:])) > 1:
        time.sleep(0.02)
        statistics = running.statistics()
        seen.append((statistics.pulled, statistics.delivered, statistics.nodes["node"].done))
    return seen[-1]


def test_pauses_lose_nothing(pool, nothing_left):
    """Pauses lose nothing of many inputs."""
    running = start(lambda v: v, pool, range(MANY), stride=500)
    pauses = []

    def control():
        for _ in range(4):
            running.pause()
            far = wait_until_still(running)
            while far[1] != far[2]:  # the reader has still something to take
                far = wait_until_still(running)
            pauses.append((far, wait_until_still(running)))
            running.resume()
            while running.statistics().pulled == far[0]:
                time.sleep(0.01)
        running.stop()

    assert next(running) == 0
    thread = threading.Thread(target=control)
    thread.start()
    count = 1
    for value in running:
        assert value == count
        count += 1
    thread.join()
    assert all(before == after for before, after in pauses)
    assert len(pauses) == 4
    assert pauses[-1][0][1] <= count < MANY
    assert count == running.summary.statistics.delivered


@pytest.mark.parametrize("pool", ["inline", "processes"])
@pytest.mark.parametrize("how", ["resume", "stop", "cancel", "close"])
def test_next_waits_out_a_pause(pool, how, nothing_left):
    """Next waits for the end of a pause."""
    running = start(lambda v: v, pool, iter(range(10)))
    running.pause()
    timer = later(getattr(running, how))
    try:
        found = list(running)
    except StateError as error:
        found = str(error)
    timer.join()
    closed = "this run is closed; call run() again for another"
    cancelled = "this run was cancelled; call run() again for another"
    assert found == {"resume": list(range(10)), "stop": [], "cancel": cancelled, "close": closed}[how]


def test_paused_run_hands_over(nothing_left):
    """Results that are there are handed over during a pause."""
    gate = threading.Event()
    running = start(lambda v: v if v != 1 else gate.wait() and v, "threads:2", itertools.count(), stride=1, admission=8)
    assert next(running) == 0
    running.pause()
    gate.set()
    _, delivered, done = wait_until_still(running)
    assert [next(running) for _ in range(done - 1)] == list(range(1, done))
    assert delivered < done
    running.resume()
    assert next(running) == done
    running.close()


def test_resume_wakes_workers(nothing_left):
    """Workers go on after a pause though nobody asks."""
    running = start(lambda v: v, "threads", itertools.count(), stride=1, admission=64)
    running.pause()
    timer = later(running.resume)
    assert next(running) == 0
    timer.join()
    running.pause()
    before = wait_until_still(running)
    running.resume()
    while running.statistics().nodes["node"].done == before[2]:
        time.sleep(0.01)
    running.close()


def test_repeats_are_harmless(nothing_left):
    """What makes no difference is harmless."""
    running = start(lambda v: v, "threads", range(5))
    running.resume()
    running.pause()
    running.pause()
    running.resume()
    assert list(running) == list(range(5))
    for harmless in (running.stop, running.cancel, running.close):
        harmless()
    assert list(running) == []


@pytest.mark.parametrize("ask", ["pause", "resume"])
def test_ended_run_cannot_pause(ask):
    """A run that has ended cannot be paused."""
    for end in (list, lambda running: running.close(), lambda running: running.cancel()):
        running = start(lambda v: v, "inline", range(5))
        end(running)
        with pytest.raises(StateError, match="this run (is closed|was cancelled); call run"):
            getattr(running, ask)()


def test_signal_handler_may_steer(pool, nothing_left):
    """A signal handler may pause, resume and stop."""
    running = start(lambda v: v, pool, itertools.count())
    steps = iter([running.pause, running.resume, running.pause, running.stop])
    before = signal.signal(signal.SIGALRM, lambda *_: next(steps, int)())
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        for expected, value in enumerate(running):
            assert value == expected
            if expected == 10_000:
                time.sleep(0.5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def sleep_at_one(v):
    if v == 1:
        time.sleep(0.5)
    return v


@pytest.mark.parametrize("by", ["thread", "signal"])
def test_waiter_hears_of_cancel(pool, by, nothing_left):
    """Whoever waits is told of a cancel."""
    running = start(sleep_at_one if pool == "inline" else lambda v: v or time.sleep(3600), pool, [1, 0, 1], stride=1)
    if pool != "inline":
        assert next(running) == 1
    before = signal.signal(signal.SIGALRM, lambda *_: running.cancel())
    timer = later(running.cancel if by == "thread" else lambda: os.kill(os.getpid(), signal.SIGALRM))
    with pytest.raises(StateError, match="was cancelled"):
        next(running)
    timer.join()
    signal.signal(signal.SIGALRM, before)
    with pytest.raises(StateError, match="was cancelled"):
        next(running)
    nothing_left()


def test_inline_function_cancels(nothing_left):
    """A function that the runner evaluates may cancel the run."""
    running = start(lambda v: running.cancel(), InlinePool("pool"), range(5))
    with pytest.raises(StateError, match="was cancelled"):
        next(running)


def test_cancel_while_opening(nothing_left):
    """Cancel while the pools are opened."""

    class Slow(InlinePool):
        def open(self, program):
            running.cancel()
            super().open(program)

    running = start(lambda v: v, Slow("pool"), range(5))
    with pytest.raises(StateError, match="was cancelled"):
        next(running)


def test_closed_run_says_so(pool, nothing_left):
    """A closed run says so every time."""
    running = start(lambda v: v, pool, itertools.count())
    running.close()
    for _ in range(2):
        with pytest.raises(StateError, match="is closed"):
            next(running)
        with pytest.raises(StateError, match="is closed"):
            running.results()


def test_failed_run_is_no_end():
    """A run that failed does not seem to have ended."""
    running = start(lambda v: 1 // v, "inline", [1, 0, 1])
    with pytest.raises(NodeError):
        list(running)
    with pytest.raises(StateError, match="has ended with an error"):
        next(running)


def test_block_error_is_raised(pool, nothing_left):
    """An error in the block ends the run and is the one that is raised."""
    running = start(lambda v: v, pool, itertools.count())

    def fail():
        with running:
            next(running)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(StateError):
        next(running)


def test_run_is_read_in_one_way():
    running = start(lambda v: v, "inline", range(5))
    found = running.results()
    with pytest.raises(StateError, match="read already"):
        running.results()
    for _ in range(2):
        with pytest.raises(StateError, match="read through its results"):
            next(running)
    assert [result.value for result in found] == list(range(5))
    running = start(lambda v: v, "inline", range(5))
    assert next(running) == 0
    with pytest.raises(StateError, match="iterated already"):
        running.results()
    assert list(running) == [1, 2, 3, 4]


def test_threads_get_items_once(nothing_left):
    """Two threads never get the same item."""
    running = start(lambda v: v, "threads", range(20_000), stride=7)
    found, refused = [], []

    def read():
        while True:
            try:
                found.append(next(running))
            except StopIteration:
                return
            except StateError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(20_000))
    assert all("one reader at a time" in text for text in refused)


def test_source_reads_own_run():
    """A source that reads the run it feeds fails."""

    def own():
        yield 1
        yield next(running)

    running = start(lambda v: v, "inline", own(), stride=1, errors="keep")
    assert next(running) == 1
    error = next(running).error
    assert isinstance(error, StateError)
    assert "one reader at a time" in str(error)


def test_function_reads_own_run():
    """A function that reads the run it belongs to fails."""
    running = start(lambda v: next(running), InlinePool("pool"), [1], errors="keep")
    [failure] = running
    assert isinstance(failure, Failure)
    assert "one reader at a time" in str(failure.error)


FORKS = """
import os, sys, papympi
from papympi import StateError

numbers = papympi.map(lambda v: v * 2, iter(range(1000)), pool=sys.argv[1], stride=10)
found = [next(numbers)]
child = os.fork()
if not child:
    try:
        next(numbers)
    except StateError as error:
        print(error, flush=True)
    numbers.cancel()
    sys.exit(3)
_, status = os.waitpid(child, 0)
found += numbers
print(os.waitstatus_to_exitcode(status), found == list(range(0, 2000, 2)))
"""


@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_fork_leaves_the_run_alone(pool, tmp_path):
    """A forked child leaves the run of its parent alone."""
    (tmp_path / "forks.py").write_text(FORKS)
    done = subprocess.run(
        [sys.executable, "forks.py", pool], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.splitlines() == [
        "this run belongs to the process that this one was forked from; call run() again for another",
        "3 True",
    ], done.stderr


def test_ctrl_c_ends_run(pool, nothing_left):
    """Ctrl-C in a program ends the run."""
    running = start(lambda v: v or time.sleep(600), pool, [1, 0], stride=1)
    assert next(running) == 1
    timer = later(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        next(running)
    timer.join()
    with pytest.raises(StateError):
        next(running)
    nothing_left()


def test_one_graph_several_runs(nothing_left):
    """The same graph in several runs at once."""
    graph = graph_of(lambda v: v + 1, stride=3)
    runs = [run({"x": range(100)}, graph=graph, pools={"pool": pool}) for pool in ("threads", "processes", "threads")]
    assert list(zip(*runs, strict=True)) == [(v + 1,) * 3 for v in range(100)]


def test_runs_in_several_threads(pool, nothing_left):
    """Runs in several threads at once."""
    found = {}

    def work(n):
        found[n] = list(start(lambda v: v * n, pool, range(200), stride=9))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2 if pool == "mpi" else 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [v * n for v in range(200)] for n in range(len(threads))}


def test_forgotten_while_paused(pool, nothing_left):
    """A run that is forgotten while it is paused."""
    running = start(lambda v: v, pool, itertools.count())
    assert next(running) == 0
    running.pause()
    del running
    gc.collect()
    nothing_left()


def test_stop_ends_silent_source(nothing_left):
    """Stop ends a run whose source never says anything more."""
    silence = threading.Event()

    def source():
        yield 1
        silence.wait()

    running = start(lambda v: v, "threads", source())
    assert next(running) == 1
    timer = later(running.stop)
    assert list(running) == []
    timer.join()
    silence.set()


@pytest.mark.parametrize("pool", ["inline", "processes"])
def test_summary_in_every_mode(pool):
    """The summary counts in every mode."""
    for errors, results in (("keep", 18), ("drop", 18)):
        running = start(lambda v: 10 // (v % 10), pool, range(20), errors=errors)
        assert running.summary.statistics.delivered == 0
        list(running)
        summary = running.summary
        assert (summary.statistics.delivered, summary.failed, summary.dropped) == (results, 2, 0)
        assert [(group.count, group.first.key) for group in summary.groups] == [(2, (0,))]
        assert "18 results in" in str(summary)
        assert "2 times ZeroDivisionError in node" in str(summary)
        assert summary.statistics.finished
    running = start(lambda v: 10 // (v % 10), pool, range(20))
    with pytest.raises(NodeError):
        list(running)
    assert running.summary.failed >= 1
    assert not running.summary.statistics.finished
