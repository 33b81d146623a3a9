"""How a run goes on where an earlier one stopped: spans are divided, and what is known takes the place of results."""

from __future__ import annotations

import pytest

from papympi.contracts import ABSENT, Stretch
from papympi.engine.batching import Span
from papympi.engine.resume import KeptPayload, Replay, SparedPayload, find_stretches
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload

FAN = {"child": "scatter x", "leaf": "map child"}


def values(first, stop, valid=FULL, failed=0):
    """Return results that were kept, behind another in their payload."""
    return Stretch(first, stop, valid, failed, Payload(["?", *(f"leaf {at}" for at in range(first, stop))]), 1)


class Again:
    """A second attempt at a run over children of two rows, three and five."""

    def __init__(self, small, history):
        self.small, self.replay, parts = small, Replay(small.plan, history), small.parts()
        self.parts, self.rows = parts, parts.rows
        self.rows.emitted = 9
        self.child = parts.open("child", self.rows, 0, 2)
        self.child.ends, self.child.emitted = [3, 8], 8

    def divide(self, name, segment, start, stop, valid=FULL):
        chunk = (start, stop, Payload(list(range(start, stop))), 0, valid)
        parts = self.replay.divide(self.small.step(name), Span(segment, start, stop, valid, ((chunk,),)))
        return [(span.start, span.stop, span.valid, spared) for span, spared in parts]

    def chunks(self, name, segment, start, stop):
        return list(self.replay.chunks(self.small.stream(name), segment, start, stop))


@pytest.fixture
def again(compiled, known):
    """Return what makes a second attempt at a small graph."""
    return lambda nodes=FAN, **history: Again(compiled(**nodes), known(**history))


def test_unknown_span_is_whole(again):
    each = again()
    assert each.divide("leaf", each.child, 1, 7, 0b101) == [(1, 7, 0b101, False)]


def test_known_parts_are_spared(again):
    """A span is divided where what is known begins and ends, across parents."""
    each = again(results={("leaf", (0,)): [values(1, 2)], ("leaf", (1,)): [values(0, 2), values(4, 5)]})
    found = [(start, stop, spared) for start, stop, _, spared in each.divide("leaf", each.child, 0, 8)]
    assert found == [(0, 1, False), (1, 2, True), (2, 3, False), (3, 5, True), (5, 7, False), (7, 8, True)]


def test_divided_parts_keep_drops(again):
    each = again(results={("leaf", (0,)): [values(0, 2)]})
    assert each.divide("leaf", each.child, 0, 3, 0b101) == [(0, 2, 0b01, True), (2, 3, 0b1, False)]


def test_known_counts_from_first(again):
    """What is known is counted from the first sibling, not from where the span begins."""
    each = again(results={("leaf", (1,)): [values(2, 4)]})
    found = [(start, stop, spared) for start, stop, _, spared in each.divide("leaf", each.child, 4, 8)]
    assert found == [(4, 5, False), (5, 7, True), (7, 8, False)]


def test_whole_run_is_spared(again):
    nodes = {"total": "fold child", "child": "scatter x", "all": "gather total", "last": "map all"}
    each = again(nodes, results={("last", None): [values(0, 1)]})
    assert each.divide("last", each.parts.unit, 0, 1) == [(0, 1, FULL, True)]
    ((chunk, failed),) = each.chunks("last", each.parts.unit, 0, 1)
    assert (chunk[2].values()[chunk[3]], failed) == ("leaf 0", 0)


def test_known_takes_its_place(again):
    """Each result lies at its position, with its drops and failures; what is not known has a stand-in."""
    each = again(results={("leaf", (0,)): [values(1, 3, 0b01, 0b01)], ("leaf", (1,)): [values(0, 2)]})
    found = each.chunks("leaf", each.child, 0, 6)
    assert [(chunk[:2], chunk[4], failed) for chunk, failed in found] == [
        ((0, 1), FULL, 0),
        ((1, 3), 0b01, 0b01),
        ((3, 5), FULL, 0),
        ((5, 6), FULL, 0),
    ]
    assert [type(chunk[2]) for chunk, _ in found] == [SparedPayload, KeptPayload, KeptPayload, SparedPayload]
    start, stop, payload, offset, _ = found[2][0]
    assert payload.values()[offset : offset + stop - start] == ["leaf 0", "leaf 1"]


def test_known_is_cut_to_fit(again):
    each = again(results={("leaf", (1,)): [values(0, 5)]})
    ((chunk, _),) = each.chunks("leaf", each.child, 4, 7)
    start, stop, payload, offset, _ = chunk
    assert (start, stop) == (4, 7)
    assert payload.values()[offset : offset + 3] == ["leaf 1", "leaf 2", "leaf 3"]


def test_known_drops_are_empty(again):
    each = again(results={("leaf", (0,)): [values(0, 3, 0)]})
    assert each.chunks("leaf", each.child, 0, 3) == [((0, 3, None, 0, 0), 0)]


def test_marks_are_stand_ins(again):
    """What is only known to be there comes with nothing to open."""
    each = again(results={("leaf", (0,)): [Stretch(0, 3, 0b011, 0, None, 0)]})
    ((chunk, _),) = each.chunks("leaf", each.child, 0, 3)
    assert (type(chunk[2]), chunk[4]) == (SparedPayload, 0b011)


@pytest.mark.parametrize(
    "use", [SparedPayload.values, SparedPayload.encode, lambda payload: payload.cut(0, 1)], ids=["open", "send", "cut"]
)
def test_stand_in_is_never_opened(use):
    """Whoever wants a value that was not computed hears of it."""
    with pytest.raises(AssertionError, match="wanted after all|sent after all"):
        use(SparedPayload(3))


def test_dropped_parents_are_gone(again):
    each = again(counts={("child", (2,)): 4, ("child", (3,)): ABSENT, ("child", (4,)): 0})
    step, columns = each.small.step("child"), (((2, 5, None, 0, FULL),),)
    assert each.replay.valid_parents(step, Span(each.rows, 2, 5, FULL, columns)) == 0b101
    assert each.replay.valid_parents(step, Span(each.rows, 2, 3, FULL, columns)) == FULL


def test_spared_children_are_entered(again):
    """The children of spared parents are entered at once, as many as there were; there is nothing to keep of them."""
    each = again(counts={("child", (2,)): 4, ("child", (3,)): ABSENT, ("child", (4,)): 1})
    children = each.parts.open("child", each.rows, 2, 5)
    each.replay.open_children(each.small.step("child"), children)
    assert (children.ends, children.emitted, children.closed, children.noted) == ([4, 4, 5], 5, True, 3)


def test_fold_resumes_from_state(again):
    nodes, state = FAN | {"total": "fold leaf"}, Payload([7])
    results, states = {("total", ()): [values(1, 2)]}, {("total", (0,)): (3, state)}
    each = again(nodes, results=results, states=states)
    found = [each.replay.fold_state(each.small.step("total"), each.rows, row) for row in range(3)]
    assert found == [(False, 3, state), (True, 0, None), (False, 0, None)]


@pytest.mark.parametrize(
    ("first", "stop", "found"),
    [(0, 9, [(1, 3), (3, 5), (7, 9)]), (2, 4, [(2, 3), (3, 4)]), (3, 7, [(3, 5)]), (5, 7, []), (8, 9, [(8, 9)])],
)
def test_stretches_are_cut(first, stop, found):
    """Of what is known in order, the parts that lie within are found."""
    stretches = [values(1, 3), values(3, 5), values(7, 9)]
    parts = list(find_stretches(stretches, first, stop))
    assert [(part.first, part.stop) for part in parts] == found
    assert all(part.payload.values()[part.offset] == f"leaf {part.first}" for part in parts)
