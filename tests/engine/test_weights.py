"""Items in the graph have about as many bytes as may be, and no more; light ones are many, and giants come through."""

import itertools
import time

import pytest

import papympi
from papympi import DROP, Graph, run

MB = 1000**2
FEW = 8
"""So many items go ahead on two workers with two places each, while nobody knows what they weigh."""


def counted(pulled, make=lambda number: number):
    """Yield items without end, and note which have been pulled."""
    for number in itertools.count():
        pulled.append(number)
        yield make(number)


def measure_lead(running, pulled, count, quick=0):
    """Return how many rows the source was ahead, at the most, of a consumer that takes its time over each result.

    The first `quick` results are taken at once and not looked at.
    """
    for _ in range(quick):
        next(running)
    lead = 0
    for taken in range(quick, quick + count):
        next(running)
        time.sleep(0.01)
        lead = max(lead, len(pulled) - taken)
    return lead


def test_source_waits_for_heavy_results():
    """A source waits where what is made of its rows is heavy."""
    pulled = []
    with papympi.map(
        lambda _: bytes(MB), counted(pulled), pool="processes:2", stride=1, admission_bytes="20 MB"
    ) as running:
        assert measure_lead(running, pulled, 60) <= 20 + FEW
        statistics = running.statistics()
    assert 2 * MB < statistics.heaviest <= 21 * MB
    assert statistics.highest <= 20 + FEW


def test_source_waits_for_heavy_rows():
    """A source waits where its rows are heavy."""
    pulled = []
    for wrap in (bytes, bytearray, lambda size: ("name", bytes(size)), lambda size: {"image": bytes(size)}):
        source = counted(pulled, lambda _, wrap=wrap: wrap(MB))
        with papympi.map(len, source, pool="threads:2", stride=1, admission_bytes=12 * MB) as running:
            assert measure_lead(running, pulled, 20) <= 12 + FEW
        pulled.clear()


def test_source_waits_after_light_spell():
    """A source waits where a drop in weight was only for a while."""
    pulled = []

    def swell(number):
        return bytes(MB if number >= 40 else 10)

    with papympi.map(
        swell, counted(pulled), pool="processes:2", stride=1, admission=80, admission_bytes="20 MB"
    ) as running:
        assert measure_lead(running, pulled, 30, quick=160) <= 20 + FEW


def test_drops_do_not_weigh():
    """What is dropped does not tell what items weigh."""
    pulled = []

    def keep_some(number):
        return bytes(MB) if number % 3 == 2 else DROP

    with papympi.map(keep_some, counted(pulled), pool="processes:1", stride=1, admission_bytes="12 MB") as running:
        next(running)
        time.sleep(0.05)
        assert len(pulled) <= 12 + 3 * FEW


def test_light_children_are_many():
    """Light children of heavy items are many."""
    graph, pulled = Graph("heavy"), []

    @graph.node(stride=1, pool="pool")
    def child(x):
        yield from range(500)

    @graph.node(stride=64, pool="pool", vectorized=True)
    def doubled(child):
        return [2 * number for number in child]

    source = counted(pulled, lambda _: bytes(MB))
    with run({"x": source}, graph=graph, pools={"pool": "processes:2"}, admission_bytes="6 MB") as running:
        results = list(itertools.islice(running, 5000))
        assert len(pulled) <= 10 + 6 + FEW
        highest = running.statistics().highest
    assert results == [2 * number for _ in range(10) for number in range(500)]
    assert highest >= 64


def test_source_waits_for_heavy_gather():
    """A source waits where what is gathered below its rows is heavy."""
    graph, pulled = Graph("gathered"), []

    @graph.node(stride=1, pool="pool")
    def part(x):
        for _ in range(8):
            yield bytes(MB)

    @graph.node(stride=1, pool="pool", gather=True)
    def size(part):
        return sum(map(len, part))

    with run({"x": counted(pulled)}, graph=graph, pools={"pool": "processes:2"}, admission_bytes="60 MB") as running:
        assert next(running) == 8 * MB
        assert measure_lead(running, pulled, 20, quick=3 * FEW) <= 60 // 8 + 1


def test_source_waits_for_heavy_groups():
    """A source waits where groups of its rows are heavy."""
    graph, pulled = Graph("groups"), []

    @graph.node(stride=1, pool="pool", gather=10)
    def joined(x):
        return len(x)

    source = counted(pulled, lambda _: bytes(MB))
    with run({"x": source}, graph=graph, pools={"pool": "processes:2"}, admission_bytes="60 MB") as running:
        for taken in range(15):
            next(running)
            time.sleep(0.01)
            assert len(pulled) <= 10 * (taken + 1) + 10 * (30 // 10) + 30


def test_giants_come_through(pool):
    """Items heavier than all that may be come through."""
    graph = Graph("giants")

    @graph.node(stride=1, pool="pool")
    def part(x):
        for number in range(3):
            yield bytes([number]) * MB

    @graph.node(stride=1, pool="pool")
    def first(part):
        return part[0], len(part)

    rows = [bytes(MB) for _ in range(5)]
    with run({"x": rows}, graph=graph, pools={"pool": pool}, admission_bytes=1000) as running:
        assert list(running) == [(number, MB) for _ in range(5) for number in range(3)]


@pytest.mark.parametrize("bound", [1, "64 kB", None])
def test_bound_changes_no_result(pool, bound):
    function = str if bound is None else lambda number: bytes([number % 256]) * 1000 * (number % 7)
    running = papympi.map(function, range(300), pool=pool, stride="auto", admission_bytes=bound)
    assert list(running) == list(map(function, range(300)))


def test_summary_tells_the_most():
    """The summary says how much there was at the most."""
    running = papympi.map(lambda number: bytes(MB), range(4), pool="threads:2", admission_bytes="1 GB")
    list(running)
    statistics = running.summary.statistics
    assert 1 <= statistics.highest <= FEW
    assert MB <= statistics.heaviest <= 4 * MB
    assert f"at the most {statistics.highest} item" in str(running.summary)
    assert " MB" in str(running.summary)
