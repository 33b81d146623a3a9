"""A step that makes the rows of a run: when it reads, what it numbers, and how it ends."""

import threading
import time

import pytest

from papympi import DROP, Failure, Graph
from papympi.engine.operators.feed import BRIEF_S, Feed
from papympi.errors import InputError


def same(x):
    return x


def drop(x):
    return DROP


def pair(left, right):
    return left, right


def fail_behind(values):
    """A source that raises where its rows end."""
    yield from values
    raise OSError("gone")


class Counted:
    """An iterable that notes how far it was read, and whether it was closed."""

    def __init__(self, count):
        self.count, self.read, self.closed = count, 0, False

    def __iter__(self):
        try:
            for row in range(self.count):
                self.read += 1
                yield row
        finally:
            self.closed = True


@pytest.fixture
def make(open_bench):
    """Return what makes a workbench with a map of the rows of one source, one a task."""

    def make_one(rows, function=same, **settings):
        graph = Graph("rows")
        graph.add(function, name="item", inputs={"x": "row"}, stride=1)
        return open_bench(graph, {"row": rows}, strides={}, **{"blocks": False} | settings)

    return make_one


@pytest.fixture
def make_pair(open_bench):
    """Return what makes a workbench with two sources that are joined by position."""

    def make_one(left, right, **settings):
        graph = Graph("pairs")
        graph.add(pair)
        return open_bench(graph, {"left": left, "right": right}, **{"blocks": False} | settings)

    return make_one


def source_of(bench):
    (source,) = bench.sources
    return source


def ready(bench):
    """Return the items that the map could be given, by key."""
    found = {}
    while bench.offers("item"):
        job = bench.begin("item")
        found.update(zip(job.keys, job.values, strict=True))
    return found


def test_reads_nothing_unasked(make):
    rows = Counted(3)
    make(rows)
    assert rows.read == 0


def test_reads_a_quota_at_a_time(make):
    """No row is read that may not be in the graph yet."""
    rows = Counted(100)
    bench = make(rows, quota=2, admission=7)
    bench.pull()
    assert (rows.read, source_of(bench).rows, bench.accounts.live) == (6, 6, 6)


def test_rows_are_numbered(make):
    bench = make(["a", "b", "c"], quota=2)
    bench.pull()
    assert ready(bench) == {(0,): "a", (1,): "b", (2,): "c"}


def test_end_closes_the_rows(make):
    """After it there is nothing to grant, to wait for, or to force."""
    bench = make([1, 2], quota=2)
    source = source_of(bench)
    assert source.has_more()
    bench.pull()
    assert (source.has_more(), source.smallest(), source.pending(), source.pull()) == (False, None, None, False)
    assert bench.store.counts["row", ()] == 2
    assert bench.accounts.reserved == 0


def test_order_is_of_next_row(make):
    bench = make(range(100), quota=2, admission=4)
    source = source_of(bench)
    before = source.smallest()
    bench.pull()
    assert before < source.smallest() == source.pending()
    assert source.smallest()[1] == 4


def test_joined_rows_share_positions(make_pair):
    bench = make_pair(["a", "b", "c"], [1, 2, 3], quota=2)
    bench.pull()
    job = bench.begin("pair")
    assert (job.keys, job.column(0), job.column(1)) == ([(0,), (1,)], ["a", "b"], [1, 2])
    assert bench.accounts.live == 3


def test_unequal_end_is_an_error_in_its_place(make_pair):
    """Rows below the shortest are there; the error waits for its turn, and the end never comes."""
    bench = make_pair(iter("abc"), iter([1, 2]), quota=5)
    bench.pull()
    source = source_of(bench)
    assert bench.begin("pair").column(0) == ["a", "b"]
    assert source.has_more()
    assert source.pending()[1] == 2
    assert ("left", ()) not in bench.store.counts
    assert not source.pull()
    with pytest.raises(InputError, match="'right' ended after 2 items, 'left' goes on"):
        source.force()


def test_equal_ends_are_no_error(make_pair):
    bench = make_pair(iter("ab"), iter([1, 2]), quota=5)
    bench.pull()
    assert not source_of(bench).has_more()


def test_failure_is_the_last_row(make):
    """A source that raises ends with a failure, which is counted and goes its way as any other."""
    bench = make(fail_behind([1, 2]))
    bench.pull()
    (failure,) = bench.tally.log.first
    assert (failure.node, failure.key) == ("row", ())
    assert ready(bench) == {(0,): 1, (1,): 2, (2,): failure}
    assert not source_of(bench).has_more()
    assert bench.store.rows == {("row", 0): 1, ("row", 1): 2}


def test_failed_end_is_not_skipped(open_bench):
    """A group that skips failed rows has that of the source, which is none of a row."""
    graph = Graph("groups")
    graph.add(same, name="list", inputs={"x": "row"}, gather=2, on_error="drop")
    bench = open_bench(graph, {"row": fail_behind([1, 2])}, blocks=False)
    bench.pull()
    bench.work("list")
    assert bench.delivered == {(0,): [1, 2], (1,): bench.tally.log.first[0]}


def test_failure_fails_members(make_pair):
    """It names the one that raised."""
    bench = make_pair(iter("abc"), fail_behind([1]), quota=5)
    bench.pull()
    job = bench.begin("pair")
    assert (job.column(0)[0], job.column(1)[0]) == ("a", 1)
    assert {value.node for value in (job.column(0)[1], job.column(1)[1])} == {"right"}


def test_other_shards_are_dropped(make):
    """Every row keeps its number, whoever works on it."""
    bench = make(range(5), shard=(1, 2), quota=3)
    bench.pull()
    bench.work("item")
    assert bench.made == {("item", (i,)): i if i % 2 else DROP for i in range(5)}


def test_force_passes_the_bound(make):
    """When nothing else can go on, one quota is read whatever is in the graph."""
    bench = make(range(100), quota=2, admission=4)
    bench.pull()
    assert source_of(bench).rows == 4
    source_of(bench).force()
    assert source_of(bench).rows == 6


def test_runs_ahead_only_so_far(make):
    """One slow row does not let all others in: what is dropped frees its place, but not the view."""
    bench = make(range(1000), drop, quota=1, admission=2)
    bench.pull()
    bench.begin("item")
    while bench.accounts.live > 1:
        bench.work("item")
        bench.pull()
    assert source_of(bench).rows == 16


def test_away_reads_no_more(make):
    """What is dropped frees its place, but unasked no more rows are read than may be in the graph."""
    bench = make(range(1000), drop, quota=1, admission=5)
    bench.pull()
    bench.work("item")
    assert (bench.accounts.live, source_of(bench).pull(), source_of(bench).rows) == (0, False, 5)
    bench.context.admission.consumer_waits = True
    assert source_of(bench).pull()


def test_callers_rows_are_read_briefly(make):
    """Where the consumer reads, it looks at results again before a quota is complete."""

    def rows():
        for row in range(100):
            time.sleep(2 * BRIEF_S)
            yield row

    bench = make([], quota=50)
    source = source_of(bench)
    source._feed.makers, source._feed.tied = [rows], True
    source._reads = source._feed.read_briefly
    bench.pull()
    assert source.rows == 1
    bench.pull()
    assert (source.rows, bench.accounts.live, source.is_waiting()) == (2, 2, False)


def test_close_lets_the_rows_go(make):
    rows = Counted(10)
    bench = make(rows, quota=1, admission=2)
    bench.pull()
    assert not rows.closed
    bench.close()
    assert rows.closed


def test_thread_reads_what_blocks(make):
    """Rows enter as they come; the rest of the quota stays reserved until it is known whether it comes."""
    gate, woken = threading.Event(), threading.Event()

    def rows():
        yield "first"
        woken.set()
        gate.wait(30)
        yield "second"

    bench = make(rows(), blocks=True, quota=3)
    source = source_of(bench)
    assert not source.is_waiting()
    bench.pull()
    assert (source.is_waiting(), bench.accounts.reserved) == (True, 3)
    assert not source.pull()
    woken.wait(30)
    assert source.take()
    assert (source.rows, bench.accounts.reserved, source.is_waiting()) == (1, 2, True)
    gate.set()
    while source.is_waiting():
        source.take()
    assert (source.rows, bench.accounts.reserved, source.has_more()) == (2, 0, False)
    assert bench.wakes


def test_feed_is_made_at_the_first_row():
    made = []
    feed = Feed(["row"], [lambda: made.append(True) or iter([1])])
    assert not made
    feed.read([].extend, 1)
    assert made == [True]


def test_feed_keeps_its_place():
    feed, rows = Feed(["row"], [lambda: iter(range(5))]), []
    for count in (2, 2):
        feed.read(rows.extend, count)
        assert not feed.ended
    feed.read(rows.extend, 2)
    assert (rows, feed.ended) == ([0, 1, 2, 3, 4], True)


def test_feed_tells_between_rows():
    """Before the next row is asked for, which may be long in coming, whoever reads can look at what is there."""
    seen, rows = [], []
    feed = Feed(["row"], [lambda: iter("ab")], between=lambda: seen.append(list(rows)))
    feed.read(rows.extend, 5)
    assert seen == [["a"], ["a", "b"]]


def test_longest_members_are_named():
    """Of several members the error names those that ended, and those that go on."""
    feed = Feed(["a", "b", "c"], [lambda: iter([1]), lambda: iter([1, 2]), lambda: iter([1])])
    feed.read([].extend, 5)
    assert "'a' and 'c' ended after 1 items, 'b' goes on" in str(feed.unequal)


def test_rest_of_a_quota_is_told():
    """Only with the last rows of a quota comes what ended them."""
    feed, rows = Feed(["row"], [lambda: fail_behind([1])]), []
    feed.read(rows.extend, 5)
    part = feed.by_columns(rows, whole=False)
    assert (part.columns, part.ended, part.failure) == ([[1]], False, None)
    last = feed.by_columns([])
    assert last.ended
    assert [type(value) for value in last.columns[0]] == [Failure]
