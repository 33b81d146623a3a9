"""How the inputs of a step meet: by position, in whatever order and pieces they come, those from above included."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.engine.batching import Batch
from papympi.engine.index.chunks import IntervalMap
from papympi.engine.joining import Join, find_shared
from papympi.transport.bitmap import FULL, is_valid, ones
from papympi.transport.payload import Payload
from papympi.transport.task import Kind
from papympi.workers.evaluation.columns import load_column

MANY = settings(max_examples=100, deadline=None)


class Meeting:
    """The inputs of one step, as the router brings them.

    Attributes:
        met: what each position has got, by key: one value for each input.
        dropped: the keys of positions that were dropped.
    """

    def __init__(self, small, name):
        self.small, self.step = small, small.step(name)
        self.join, self.parts = Join(self.step), small.parts()
        self.met, self.dropped = {}, set()

    def bring(self, name, segment, start, stop, valid=FULL):
        """Bring values of a node for start..stop; each tells where it is from. Where none is there is no payload."""
        values = [(name, *segment.key(at)) for at in range(start, stop)]
        chunk = (start, stop, Payload(values) if valid else None, 0, valid)
        stream = self.small.stream(name)
        number = self.step.inputs.index(stream)
        if stream.space is self.step.space:
            spans = self.join.take(number, segment, chunk)
        else:
            segment.store.setdefault(stream, IntervalMap()).add(chunk)
            chain = self.step.space.chain()
            spans = self.join.take_above(segment, (start, stop), chain[: chain.index(stream.space)][::-1])
        return [self.note(span) for span in list(spans)]

    def note(self, span):
        size = span.stop - span.start
        task = Batch([span], size, size).to_task(1, Kind.CALL, 0, 0)
        columns = [load_column(column, lambda payload: payload.values()) for column in task.columns]
        for at in range(size):
            key = span.segment.key(span.start + at)
            assert key not in self.met
            assert key not in self.dropped
            if is_valid(span.valid, at):
                self.met[key] = [column[at] for column in columns]
            else:
                self.dropped.add(key)
        return span.start, span.stop


@pytest.fixture
def level(compiled):
    """Return the meeting of three inputs of one space, and the segment of their rows."""
    small = compiled(a="map x", b="map x", c="map x", met="map a b c")
    meeting = Meeting(small, "met")
    return meeting, meeting.parts.rows


def test_last_input_makes_ready(level):
    meeting, rows = level
    assert meeting.bring("a", rows, 0, 4) == []
    assert meeting.bring("b", rows, 0, 4) == []
    assert meeting.bring("c", rows, 0, 4) == [(0, 4)]
    assert meeting.met[2,] == [("a", 2), ("b", 2), ("c", 2)]


def test_unequal_chunks_meet(level):
    """What is there of every input goes on, whatever the others have besides."""
    meeting, rows = level
    meeting.bring("a", rows, 0, 9)
    meeting.bring("b", rows, 2, 5)
    assert meeting.bring("c", rows, 4, 8) == [(4, 5)]
    assert meeting.bring("b", rows, 5, 7) == [(5, 7)]


def test_holes_meet_apart(level):
    meeting, rows = level
    meeting.bring("a", rows, 0, 3)
    meeting.bring("a", rows, 5, 8)
    meeting.bring("b", rows, 0, 8)
    assert meeting.bring("c", rows, 1, 7) == [(1, 3), (5, 7)]


def test_met_is_taken_out(level):
    """What has met is not kept."""
    meeting, rows = level
    for name in "abc":
        meeting.bring(name, rows, 0, 4)
    assert [chunks.chunks for chunks in rows.joins[meeting.step]] == [[], [], []]


def test_dropped_by_one_is_dropped(level):
    """An item that any input has dropped is dropped, and yet waits for the others."""
    meeting, rows = level
    meeting.bring("a", rows, 0, 4, 0b1110)
    assert meeting.bring("b", rows, 0, 4, 0b0111) == []
    meeting.bring("c", rows, 0, 4)
    assert (sorted(meeting.met), meeting.dropped) == ([(1,), (2,)], {(0,), (3,)})


def test_piecewise_drops_are_placed(level):
    """Drops keep their places where chunks of several pieces meet one."""
    meeting, rows = level
    meeting.bring("a", rows, 0, 6)
    meeting.bring("b", rows, 3, 6, 0b011)
    meeting.bring("b", rows, 0, 3, 0b110)
    meeting.bring("c", rows, 0, 6)
    assert meeting.dropped == {(0,), (5,)}


def test_nothing_missing_is_full(level):
    meeting, rows = level
    spans = [meeting.join.take(at, rows, (0, 4, Payload([None] * 4), 0, 0b1111 if at else FULL)) for at in range(3)]
    assert [span.valid for each in spans for span in each] == [FULL]


@pytest.fixture
def below(compiled):
    """Return the meeting of children with what their parent has, and the segments of both."""
    small = compiled(child="scatter x", met="map child x")
    meeting = Meeting(small, "met")
    rows = meeting.parts.rows
    rows.emitted = 6
    child = meeting.parts.open("child", rows, 1, 5)
    child.ends, child.emitted = [2, 2, 5], 7
    return meeting, rows, child


def test_shared_value_waits_above(below):
    """Children get what their parent has, though it came before them."""
    meeting, rows, child = below
    assert meeting.bring("x", rows, 0, 6) == []
    meeting.bring("child", child, 1, 4)
    assert meeting.met == {
        (1, 1): [("child", 1, 1), ("x", 1)],
        (3, 0): [("child", 3, 0), ("x", 3)],
        (3, 1): [("child", 3, 1), ("x", 3)],
    }


def test_children_wait_for_shared(below):
    """Children wait until what their own parent has is there."""
    meeting, rows, child = below
    assert meeting.bring("child", child, 0, 7) == []
    assert meeting.bring("x", rows, 3, 4) == [(2, 5)]
    assert meeting.bring("x", rows, 0, 3) == [(0, 2)]


def test_open_parent_shares(below):
    """Children of a parent that is not finished get its value, those that come later, too."""
    meeting, rows, child = below
    meeting.bring("child", child, 5, 6)
    assert meeting.bring("x", rows, 4, 6) == [(5, 6)]
    assert meeting.bring("child", child, 6, 7) == [(6, 7)]


def test_shared_value_stays(below):
    """What is shared is asked for as often as children come."""
    meeting, rows, child = below
    meeting.bring("x", rows, 0, 6)
    assert [meeting.bring("child", child, at, at + 1) for at in range(3)] == [[(0, 1)], [(1, 2)], [(2, 3)]]


def test_parent_drop_is_inherited(below):
    """Where a parent was dropped above, its children are, and no others."""
    meeting, rows, child = below
    meeting.bring("x", rows, 0, 6, 0b110111)
    meeting.bring("child", child, 0, 7, 0b1111101)
    assert meeting.dropped == {(1, 1), (3, 0), (3, 1), (3, 2)}


def test_missing_ancestor_raises(below):
    """Nobody asks for what has not come."""
    meeting, rows, child = below
    meeting.bring("x", rows, 2, 3)
    with pytest.raises(AssertionError, match="nothing at 1"):
        find_shared(meeting.small.stream("x"), child, 0, 1)


@pytest.fixture(scope="module")
def deep(compiled):
    """Return what makes a meeting over three levels: grandchildren, their parent and the row."""
    small = compiled(child="scatter x", grand="scatter child", met="map grand child x")

    def make():
        meeting = Meeting(small, "met")
        parts = meeting.parts
        parts.rows.emitted = 4
        children = [parts.open("child", parts.rows, low, low + 2) for low in (0, 2)]
        grands = []
        for child in children:
            child.ends, child.emitted = [1, 3], 3
            grands += [parts.open("grand", child, 0, 1), parts.open("grand", child, 1, 3)]
        for grand, ends in zip(grands, ([2], [0, 3], [1], [2, 3]), strict=True):
            grand.ends, grand.emitted = ends, ends[-1]
        return meeting, parts.rows, children, grands

    return make


def test_two_levels_up_are_shared(deep):
    meeting, rows, children, grands = deep()
    for grand in grands:
        meeting.bring("grand", grand, 0, grand.emitted)
    meeting.bring("child", children[1], 0, 3)
    assert meeting.met == {}
    assert meeting.bring("x", rows, 0, 3) == [(0, 1)]
    meeting.bring("child", children[0], 0, 3)
    assert set(meeting.met) == {(0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1), (1, 1, 2), (2, 0, 0)}
    assert meeting.met[1, 1, 2] == [("grand", 1, 1, 2), ("child", 1, 1), ("x", 1)]


def pieces(draw, name, segment):
    """Return a segment's positions in random pieces with random drops."""
    cuts = [at for at in range(1, segment.emitted) if draw(st.booleans())]
    for start, stop in pairwise([0, *cuts, segment.emitted]):
        bits = draw(st.sampled_from([FULL, FULL, FULL, 0, 0b10]))
        yield name, segment, start, stop, bits if bits == FULL else bits & ones(stop - start)


@MANY
@given(data=st.data())
def test_any_order_meets_alike(deep, data):
    """In whatever order and pieces the inputs come, each position gets its own, once; drops are inherited."""
    meeting, rows, children, grands = deep()
    arrivals = [piece for grand in grands for piece in pieces(data.draw, "grand", grand)]
    arrivals += [piece for child in children for piece in pieces(data.draw, "child", child)]
    arrivals += list(pieces(data.draw, "x", rows))
    dropped = {
        (name, *segment.key(start + at))
        for name, segment, start, stop, valid in arrivals
        for at in range(stop - start)
        if not valid >> at & 1
    }
    for name, segment, start, stop, valid in data.draw(st.permutations(arrivals)):
        meeting.bring(name, segment, start, stop, valid)
    keys = {grand.key(at) for grand in grands for at in range(grand.emitted)}
    rows_of = {key: [("grand", *key), ("child", *key[:2]), ("x", key[0])] for key in keys}
    assert meeting.met == {key: row for key, row in rows_of.items() if dropped.isdisjoint(row)}
    assert meeting.dropped == keys - meeting.met.keys()
