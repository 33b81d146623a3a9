"""Chunks are cut, merged and laid out without their values moving; maps and sets of intervals are dicts and sets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.engine.index.chunks import (
    GatheredLists,
    IntervalMap,
    IntervalSet,
    SharedValue,
    clip,
    cut_around,
    distribute,
    join_bitmaps,
    to_slice,
)
from papympi.transport.bitmap import FULL, is_valid
from papympi.transport.payload import Payload
from papympi.transport.task import Output

MANY = settings(max_examples=100, deadline=None)
WORDS = "abcdefghijklmnopqrstuvwxyz"


def chunk_of(start, stop, valid=FULL):
    """Return a chunk whose value at each position is that letter, behind two others in the payload."""
    return (start, stop, Payload(["?", "?", *WORDS[start:stop]]), 2, valid)


def read(chunk):
    """Return what a chunk has, by position."""
    start, stop, payload, offset, valid = chunk
    return {at: payload.values()[offset + at - start] for at in range(start, stop) if is_valid(valid, at - start)}


def read_all(chunks):
    return {at: value for chunk in chunks for at, value in read(chunk).items()}


def spans_of(chunks):
    return [chunk[:2] for chunk in chunks]


def load(part):
    """Return the values of a slice as a task carries it."""
    if len(part) == 2:
        ends, members = part
        values = [
            value if is_valid(valid, at) else None
            for payload, start, stop, valid in members
            for at, value in enumerate(payload.values()[start:stop])
        ]
        return [values[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    payload, start, stop, *shared = part
    return payload.values()[start:stop] * (shared[0] if shared else 1)


def test_clip_moves_no_value():
    chunk = chunk_of(3, 9, 0b101101)
    part = clip(chunk, 5, 8)
    assert part[2] is chunk[2]
    assert read(part) == {5: "f", 6: "g"}


def test_clip_of_all_is_the_same():
    chunk = chunk_of(3, 9)
    assert clip(chunk, 3, 9) is chunk


def test_clipped_full_stays_full():
    """A chunk of which nothing is missing stays one, whatever is cut off."""
    assert clip(chunk_of(3, 9), 4, 5)[4] == FULL


@pytest.mark.parametrize(
    ("holes", "left"),
    [([], [(3, 9)]), ([3], [(4, 9)]), ([8], [(3, 8)]), ([5, 6], [(3, 5), (7, 9)]), ([1, 4, 12], [(3, 4), (5, 9)])],
)
def test_cut_leaves_holes_out(holes, left):
    parts = list(cut_around(chunk_of(3, 9), 0b100001, holes))
    assert spans_of(part for part, _ in parts) == left
    failed = {part[0] + bit for part, bits in parts for bit in range(part[1] - part[0]) if bits >> bit & 1}
    assert failed == {3, 8} - set(holes)


def test_bitmaps_join_end_to_end():
    chunks = [chunk_of(2, 4), chunk_of(4, 7, 0b010), chunk_of(7, 8, 0)]
    assert join_bitmaps(chunks, 2) == 0b010_11


def test_full_bitmaps_join_to_full():
    assert join_bitmaps([chunk_of(2, 4), chunk_of(4, 7)], 2) == FULL


def test_chunk_travels_alone():
    """Of a payload that is longer only the part that a task needs travels."""
    payload, start, stop = to_slice(clip(chunk_of(0, 9), 4, 6))
    assert (payload.values()[start:stop], payload.count) == (["e", "f"], 2)


def test_shared_value_travels_once():
    """A value that positions share is sent once, with their number."""
    part = to_slice(SharedValue(10, 13, chunk_of(3, 9), 5))
    assert part[0].count == 1
    assert load(part) == ["f"] * 3


def test_no_payload_is_all_none():
    """Where all was dropped there is no payload, and yet a task has a value for every position."""
    assert load(to_slice((3, 6, None, 0, 0))) == [None] * 3


def test_lists_are_cut_from_chunks():
    """Gathered lists are cut from the chunks of their members, wherever these begin and end."""
    lists = GatheredLists([chunk_of(4, 6), chunk_of(6, 11), chunk_of(11, 12)], [5, 9, 9, 12], 4)
    every = [["e"], ["f", "g", "h", "i"], [], ["j", "k", "l"]]
    for start in range(4):
        for stop in range(start + 1, 5):
            assert load(lists.slice(start, stop)) == every[start:stop]


def test_lists_carry_holes():
    """Members that were dropped are marked, in a part of a chunk, too."""
    lists = GatheredLists([chunk_of(0, 6, 0b101101)], [2, 6], 0)
    assert load(lists.slice(0, 2)) == [["a", None], ["c", "d", None, "f"]]
    assert load(lists.slice(1, 2)) == [["c", "d", None, "f"]]


def test_lists_take_own_members():
    """A task for one list carries the members of that list only."""
    _, members = GatheredLists([chunk_of(0, 3), chunk_of(3, 6)], [3, 6], 0).slice(1, 2)
    assert [payload.values()[start:stop] for payload, start, stop, _ in members] == [["d", "e", "f"]]


def test_chunk_of_lists_is_sliced():
    lists = GatheredLists([chunk_of(0, 6)], [2, 3, 6], 0)
    assert load(to_slice((7, 9, lists, 1, FULL))) == [["c"], ["d", "e", "f"]]


def test_one_payload_goes_on_whole():
    payload = Payload(["a", "b"])
    assert list(distribute(Output([payload], FULL, 0b10), [("one", 4, 6)])) == [("one", (4, 6, payload, 0, FULL), 0b10)]


def test_payloads_meet_spans():
    """Each position gets its value, bit and failure, however payloads and spans are cut."""
    payloads = [Payload(list("abc")), Payload(list("de")), Payload(list("fghi"))]
    output = Output(payloads, 0b110011111, 0b000000010)
    found = list(distribute(output, [("one", 4, 6), ("two", 0, 5), ("one", 9, 11)]))
    values = {(where, at): value for where, chunk, _ in found for at, value in read(chunk).items()}
    assert values == {
        ("one", 4): "a", ("one", 5): "b", ("two", 0): "c", ("two", 1): "d", ("two", 2): "e", ("one", 9): "h",
        ("one", 10): "i",
    }  # fmt: skip
    assert [(where, chunk[0]) for where, chunk, failed in found if failed] == [("one", 4)]
    assert [failed for *_, failed in found if failed] == [0b10]


def test_dropped_part_is_empty():
    """A part of which nothing is there lets go of the payload."""
    found = list(distribute(Output([Payload(list("abcd"))], 0b0011), [("one", 0, 2), ("two", 0, 2)]))
    assert found[1] == ("two", (0, 2, None, 0, 0), 0)


def test_full_part_is_full():
    """A part of which nothing is missing says so, even if something is missing elsewhere."""
    found = list(distribute(Output([Payload(list("abcd"))], 0b0111), [("one", 0, 2), ("two", 0, 2)]))
    assert [chunk[4] for _, chunk, _ in found] == [FULL, 0b01]


# What a map or set of intervals does, and what a dict or set would: the oracle is read position by position.

SIZE = 10  # few positions, so that chunks touch
INTERVALS = st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(lambda way: (way[0], min(sum(way), SIZE)))
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "take", "take_next", "look", "peek", "covered", "reach"]), INTERVALS),
    max_size=30,
)


def merged(positions):
    """Return positions as the fewest intervals."""
    found = []
    for at in sorted(positions):
        if found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + 1)
        else:
            found.append((at, at + 1))
    return found


def prefix_of(positions, start, stop=SIZE):
    """Return how far positions go on without a hole from `start`."""
    while start < stop and start in positions:
        start += 1
    return start


class Oracle:
    """What an interval map is: a dict of positions, and where its chunks begin."""

    def __init__(self):
        self.held, self.starts = {}, set()

    def within(self, a, b):
        return {at: value for at, value in self.held.items() if a <= at < b}

    def add(self, intervals, a, b):
        if not self.within(a, b):
            intervals.add(chunk_of(a, b))
            self.held |= dict(zip(range(a, b), WORDS[a:b], strict=True))
            self.starts.add(a)

    def take(self, intervals, a, b):
        self._remove(read_all(intervals.take(a, b)), self.within(a, b), b)

    def take_next(self, intervals, a, b):
        self._remove(read_all(intervals.take_next(a, b)), self.within(a, prefix_of(self.held, a, b)), b)

    def _remove(self, found, wanted, stop):
        assert found == wanted
        for at in wanted:
            del self.held[at]
            self.starts.discard(at)
        if stop in self.held and wanted:
            self.starts.add(stop)

    def look(self, intervals, a, b):
        chunk = intervals.look(a)
        assert (read(chunk)[a] if chunk is not None else None) == self.held.get(a)

    def peek(self, intervals, a, b):
        assert read_all(intervals.peek(a, b)) == self.within(a, b)

    def covered(self, intervals, a, b):
        assert intervals.covered(a, b) == merged(self.within(a, b))

    def reach(self, intervals, a, b):
        if a in self.starts or a not in self.held:
            assert intervals.reach(a) == prefix_of(self.held, a)


@MANY
@given(ACTIONS)
def test_map_is_a_dict(actions):
    """Whatever is added, looked at and taken out, a map of intervals has what a dict would have."""
    intervals, oracle = IntervalMap(), Oracle()
    for action, (a, b) in actions:
        getattr(oracle, action)(intervals, a, b)
        assert read_all(intervals.chunks) == oracle.held
        assert intervals.starts == [chunk[0] for chunk in intervals.chunks] == sorted(intervals.starts)


def filled(*intervals):
    """Return a map with some chunks."""
    kept = IntervalMap()
    for start, stop in intervals:
        kept.add(chunk_of(start, stop))
    return kept


def test_late_chunk_finds_place():
    assert spans_of(filled((6, 8), (2, 4), (4, 6)).chunks) == [(2, 4), (4, 6), (6, 8)]


def test_take_leaves_the_rest():
    kept = filled((2, 9))
    assert spans_of(kept.take(4, 6)) == [(4, 6)]
    assert spans_of(kept.chunks) == [(2, 4), (6, 9)]


def test_peek_takes_nothing():
    kept = filled((2, 5), (5, 9))
    assert spans_of(kept.peek(3, 6)) == [(3, 5), (5, 6)]
    assert spans_of(kept.chunks) == [(2, 5), (5, 9)]


def test_hole_stops_next():
    """What is taken next goes without a hole from where it begins."""
    kept = filled((2, 4), (4, 5), (6, 8))
    assert spans_of(kept.take_next(2, 9)) == [(2, 4), (4, 5)]
    assert kept.take_next(5, 9) == []


def test_next_begins_at_start():
    assert filled((3, 4)).take_next(2, 9) == []


@pytest.mark.parametrize(("chunks", "taken"), [([(2, 8)], [(2, 6)]), ([(2, 5), (5, 8)], [(2, 5), (5, 6)])])
def test_next_ends_at_stop(chunks, taken):
    kept = filled(*chunks)
    assert spans_of(kept.take_next(2, 6)) == taken
    assert spans_of(kept.take_next(6, 9)) == [(6, 8)]


def test_covered_is_merged():
    assert filled((2, 4), (4, 5), (6, 8)).covered(3, 7) == [(3, 5), (6, 7)]


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2, 5), (4, 5), (6, 8), (8, 8)])
def test_hole_stops_reach(start, end):
    assert filled((2, 4), (4, 5), (6, 8)).reach(start) == end


@MANY
@given(st.lists(INTERVALS, max_size=20), INTERVALS)
def test_set_is_a_set(intervals, asked):
    """A set of intervals has what a set would have, merged as far as can be."""
    covered, model = IntervalSet(), set()
    for start, stop in intervals:
        if model.isdisjoint(range(start, stop)):
            covered.add(start, stop)
            model |= set(range(start, stop))
        assert list(zip(covered.starts, covered.stops, strict=True)) == merged(model)
        assert covered.prefix() == prefix_of(model, 0)
        assert covered.covered(*asked) == merged(model & set(range(*asked)))


@pytest.mark.parametrize("again", [(2, 3), (4, 6), (5, 6), (1, 8), (6, 8)])
def test_set_refuses_what_is_in(again):
    covered = IntervalSet()
    covered.add(2, 4)
    covered.add(5, 7)
    with pytest.raises(AssertionError, match="added twice"):
        covered.add(*again)
