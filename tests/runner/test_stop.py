"""What `stop()` hands over: every row that was read, out of every node; with `now`, what workers are at."""

from __future__ import annotations

import itertools
import queue
import signal
import threading
import time

import pytest

from papympi import Graph, run
from papympi.testing.driver import of_two


class Rows:
    """An endless iterator that knows what was taken of it."""

    def __init__(self, pause=0.0):
        self.taken, self.pause = [], pause

    def __iter__(self):
        return self

    def __next__(self):
        if self.pause:
            time.sleep(self.pause)
        self.taken.append(len(self.taken))
        return self.taken[-1]


def same(x):
    return x


def spread(x):
    for child in range(x % 4):
        yield x, child


def count_on(x):
    yield from itertools.count(x)


def collect(*values):
    return list(values)


def build(**nodes):
    """Return a graph of `name=(function, input, options)`."""
    graph = Graph("stopped")
    for name, (function, above, options) in nodes.items():
        graph.add(function, name=name, inputs={"x": above}, pool="p", **options)
    return graph


def end(running, first=5, **how):
    """Return what a run yields that is stopped after so many values."""
    found = list(itertools.islice(running, first))
    running.stop(**how)
    return found + list(running)


@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_all_rows_come_out(pool, pause, nothing_left):
    """Rows that were read and no worker was at were forgotten."""
    rows = Rows(pause)
    graph = build(one=(same, "x", {}), two=(same, "one", {"stride": 3}))
    running = run({"x": rows}, graph=graph, pools={"p": of_two(pool)}, admission=40)
    assert end(running) == rows.taken
    assert (running.statistics().finished, running.statistics().complete) == (True, False)


def test_all_nodes_give(pool, nothing_left):
    """Lists of children, and of their folds, are those of all rows that were read."""
    rows = Rows()
    graph = build(kid=(spread, "x", {}), kids=(lambda x: x, "kid", {"gather": True, "stride": 2}))
    running = run({"x": rows}, graph=graph, pools={"p": of_two(pool)}, admission=40)
    assert end(running) == [list(spread(x)) for x in rows.taken]


@pytest.mark.parametrize("ordered", [True, False])
def test_end_closes_what_is_open(ordered, nothing_left):
    """What takes all rows, or so many of them, takes those that were read: the inputs might have ended there."""
    rows = Rows()
    graph = build(
        one=(same, "x", {}),
        three=(lambda x: x, "one", {"gather": 3}),
        all=(lambda total, x: [*total, x], "one", {"fold": list}),
    )
    running = run({"x": rows}, graph=graph, pools={"p": "threads:2"}, admission=10, ordered=ordered)
    results = running.results()
    found = list(itertools.islice(results, 7))
    running.stop()
    found += results
    found = {name: sorted(entry.value for entry in found if entry.node == name) for name in ("three", "all")}
    taken = rows.taken
    assert found == {"three": [taken[i : i + 3] for i in range(0, len(taken), 3)], "all": [taken]}


def test_aligned_rows_stay_together(nothing_left):
    """Of inputs that are read in step none is read further than the others."""
    one, two = Rows(), Rows(0.001)
    graph = Graph("aligned")
    graph.add(lambda x, y: (x, y), name="pair", pool="p")
    running = run({"x": one, "y": two}, graph=graph, pools={"p": "threads:2"})
    assert end(running) == [(i, i) for i in one.taken]
    assert one.taken == two.taken


def test_failed_rows_are_handed_over(pool):
    """Items that fail, or are tried again, count as others do."""
    rows = Rows()

    def check(x):
        if x % 3 == 1:
            raise ValueError(x)
        return x

    graph = build(one=(check, "x", {"retries": 1, "backoff": 0.01}), two=(same, "one", {}))
    running = run({"x": rows}, graph=graph, pools={"p": of_two(pool)}, admission=20, errors="drop")
    assert end(running) == [x for x in rows.taken if x % 3 != 1]


@pytest.mark.parametrize("known", [True, False])
def test_silent_source_is_left(known, nothing_left):
    """A source that has said nothing for a while is not waited for; what it said is."""
    given = queue.SimpleQueue()
    for x in range(3):
        given.put(x)
    running = run({"x": iter(given.get, None)}, graph=build(one=(same, "x", {})), pools={"p": "threads:2"})
    found = [next(running) for _ in range(3 if known else 1)]
    running.stop()
    assert found + list(running) == [0, 1, 2]
    given.put(None)


def test_endless_scatter_is_given_up(pool, nothing_left):
    """A generator is finished, but one without an end is given up, and what waits for its end does not come."""
    graph = build(
        kid=(count_on, "x", {"stride": 1}),
        one=(same, "kid", {}),
        pairs=(lambda x: x, "one", {"gather": 2}),
        all=(lambda total, x: total + x, "one", {"fold": int}),
        row=(same, "x", {}),
    )
    targets = ["one", "pairs", "all", "row"]
    running = run({"x": [5, 7]}, graph=graph, pools={"p": of_two(pool)}, targets=targets, admission=20)
    results = running.results()
    found = list(itertools.islice(results, 30))
    running.stop()
    found += results
    values = {name: [entry.value for entry in found if entry.node == name] for name in targets}
    first = [entry.value for entry in found if entry.node == "one" and entry.key[0] == 0]
    assert first == list(range(5, 5 + len(first)))
    assert len(first) >= 1000
    assert values["row"] == [5, 7][: len(values["row"])]
    assert values["row"]
    assert values["all"] == []
    assert values["pairs"][:2] == [[5, 6], [7, 8]]
    assert "'kid'" in str(running.summary)


def test_long_scatter_is_finished(nothing_left):
    """A generator that ends is waited for, however much it has made before."""

    def fan(x):
        yield from range(3000 if x == 0 else 900)

    graph = build(kid=(fan, "x", {"stride": 1}), size=(len, "kid", {"gather": True}))
    running = run({"x": range(3)}, graph=graph, pools={"p": "threads:2"}, targets=["kid", "size"], admission=20)
    results = running.results()
    found = list(itertools.islice(results, 2500))
    running.stop()
    found += results
    read = running.statistics().pulled
    assert [entry.value for entry in found if entry.node == "size"] == [3000, 900, 900][:read]


def test_stop_before_the_first_row():
    """A run that is stopped before it begins reads nothing."""
    rows = Rows()
    running = run({"x": rows}, graph=build(one=(same, "x", {})), pools={"p": "threads:2"})
    running.stop()
    assert (list(running), rows.taken) == ([], [])


def test_stop_ends_a_pause(pool, nothing_left):
    """What was read comes out although the run was paused."""
    rows = Rows()
    running = run({"x": rows}, graph=build(one=(same, "x", {})), pools={"p": of_two(pool)}, admission=20)
    found = [next(running)]
    running.pause()
    running.stop()
    running.pause()
    assert found + list(running) == rows.taken


def test_now_starts_nothing(nothing_left):
    """With `now` rows that no worker is at are not waited for, though a stop without it came before."""
    gate, rows = threading.Event(), Rows()

    def wait(x):
        gate.wait()
        return x

    running = run({"x": rows}, graph=build(one=(wait, "x", {"stride": 1})), pools={"p": "threads:2"}, admission=50)
    timer = threading.Timer(0.2, lambda: (running.stop(), running.stop(now=True), gate.set()))
    timer.start()
    found = list(running)
    timer.join()
    assert found == list(range(len(found)))
    assert len(found) < len(rows.taken)


def test_signal_handler_stops(nothing_left):
    """A signal handler may stop a run whose rows the same thread reads."""
    rows = Rows()
    running = run({"x": rows}, graph=build(one=(same, "x", {})), pools={"p": "processes:2"}, admission=20)
    before = signal.signal(signal.SIGUSR1, lambda *_: running.stop())
    try:
        found = list(itertools.islice(running, 5))
        signal.raise_signal(signal.SIGUSR1)
        assert found + list(running) == rows.taken
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("now", [True, False])
def test_kept_run_is_not_complete(tmp_path, now):
    """A run with a run directory leaves what needs all rows to the resumed run, which then gives all."""
    graph = build(
        one=(same, "x", {"stride": 1}),
        seven=(lambda x: x, "one", {"gather": 7}),
        all=(lambda total, x: total + x, "one", {"fold": int}),
    )
    options = {"graph": graph, "pools": {"p": "threads:2"}, "admission": 10, "targets": ["one", "seven", "all"]}
    running = run({"x": iter(range(100))}, **options, journal=tmp_path / "run")
    results = running.results()
    found = list(itertools.islice(results, 20))
    running.stop(now=now)
    found += results
    assert not running.statistics().complete
    ones = [entry.value for entry in found if entry.node == "one"]
    assert ones == list(range(len(ones)))
    assert now or len(ones) == running.statistics().pulled
    assert [entry.value for entry in found if entry.node == "all"] == []
    assert all(len(entry.value) == 7 for entry in found if entry.node == "seven")
    again = list(run({"x": range(100)}, **options, journal=tmp_path / "run", resume=True).results())
    assert again == list(run({"x": range(100)}, **options).results())
