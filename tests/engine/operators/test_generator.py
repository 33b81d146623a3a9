"""How far a generator is: where its children belong, what is left of it, and whom its worker means by a number."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.engine.batching import Span
from papympi.engine.index.segment import Segment
from papympi.engine.index.tables import SpaceTable
from papympi.engine.operators.generator import GeneratorState
from papympi.model.item import Failure
from papympi.plan.plan import Space
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.task import Outcome, Output

UNIT = Space(0, "unit")
ROWS = Space(1, "source", UNIT)
CHILDREN = Space(2, "scatter", ROWS)
TABLES = {space: SpaceTable(space, lambda space, count: None) for space in (UNIT, ROWS, CHILDREN)}
PAYLOAD = Payload(list(range(100)))


def state_over(*sizes):
    """Return a generator over spans of so many rows each; between two of them one row is missing."""
    unit = Segment(TABLES[UNIT], None, 0, 1)
    rows = Segment(TABLES[ROWS], unit, 0, 1)
    spans, segments, start = [], [], 0
    for size in sizes:
        spans.append(Span(rows, start, start + size, FULL, (((start, start + size, PAYLOAD, start, FULL),),)))
        segments.append(Segment(TABLES[CHILDREN], rows, start, start + size))
        start += size + 1
    rows.emitted = start
    return GeneratorState(1, spans, segments)


def outcome(children, *counts, finished=False):
    """Return an outcome with so many children, and how many of them each finished parent got."""
    payloads = [Payload([None] * children)] if children else []
    return Outcome(1, [Output(payloads)], counts=list(counts), finished=finished)


def rest_of(state):
    return [(span.start, span.stop) for span in state.rest().spans]


@st.composite
def journeys(draw):
    """The children of each parent by span, and the quotas by which they are made."""
    spans = draw(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=4))
    return spans, draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))


def tasks_of(counts, quotas):
    """Yield the outcomes of a generator whose parents have so many children; a task ends when its quota is used up."""
    parent, at, turn = 0, 0, 0
    while parent < len(counts):
        left, made, finished = quotas[turn % len(quotas)], 0, []
        turn += 1
        begun = at
        while parent < len(counts) and left + at >= counts[parent]:
            made, left = made + counts[parent] - at, left - counts[parent] + at
            finished.append(counts[parent] - begun)
            parent, at, begun = parent + 1, 0, 0
        if parent < len(counts):
            made, at = made + left, at + left
        yield outcome(made, *finished, finished=parent == len(counts))


@settings(max_examples=100, deadline=None)
@given(journeys())
def test_children_belong_where_they_should(journey):
    """However quotas fall on parents: each child is entered once, in order, under its own parent."""
    spans, quotas = journey
    state = state_over(*map(len, spans))
    entered = []
    for each in tasks_of([count for span in spans for count in span], quotas):
        assert not state.finished
        children = sum(payload.count for payload in each.outputs[0].payloads)
        touched = list(state.accept(each))
        assert sum(size for _, _, size, _ in touched) == children
        assert sum(finished for *_, finished in touched) == len(each.counts)
        entered += [(segment, at) for segment, start, size, _ in touched for at in range(start, start + size)]
        if not state.finished:
            open_one = state.segments[state.span]
            assert state.child == open_one.emitted - open_one.first_child(state.parent)
    assert state.finished
    assert all(segment.closed for segment in state.segments)
    keys = [segment.key(at) for segment, at in entered]
    rows = [segment.low + at for segment, span in zip(state.segments, spans, strict=True) for at in range(len(span))]
    counts = [count for span in spans for count in span]
    assert keys == [(row, child) for row, count in zip(rows, counts, strict=True) for child in range(count)]


def test_stands_at_open_parent():
    state = state_over(3, 2)
    list(state.accept(outcome(4, 1, 2)))
    assert (state.span, state.parent, state.child) == (0, 2, 1)
    list(state.accept(outcome(3, 2)))
    assert (state.span, state.parent, state.child) == (1, 0, 1)


def test_ends_with_its_last_parent():
    state = state_over(2)
    list(state.accept(outcome(2, 1)))
    assert not state.finished
    list(state.accept(outcome(0, 0)))
    assert state.finished


def test_rest_from_open_parent():
    state = state_over(3, 2)
    list(state.accept(outcome(3, 1, 1)))
    assert rest_of(state) == [(2, 3), (4, 6)]
    assert state.rest().count == 3


def test_rest_keeps_to_the_limit():
    state = state_over(2, 3)
    state.limit = 3
    assert rest_of(state) == [(0, 2), (3, 4)]


def test_halves_until_one():
    """Each time half of what it had; the last one is to blame."""
    state = state_over(3, 2)
    counts = []
    while state.halve():
        counts.append(state.rest().count)
    assert counts == [2, 1]
    assert state.limit == 1
    list(state.accept(outcome(1, 1)))
    assert state.limit == 0  # all of the others come next


@pytest.mark.parametrize(("index", "place"), [(0, (0, 1)), (1, (0, 2)), (2, (1, 0)), (3, (1, 1))])
def test_worker_counts_from_its_start(index, place):
    """A parent's number is counted from where the worker began, not from where the generator is."""
    state = state_over(3, 2)
    list(state.accept(outcome(1, 1)))
    state.begun = (state.span, state.parent)
    list(state.accept(outcome(1, 1)))
    assert state.parent_at(index) == place


def test_finished_culprits_are_past():
    """Of those that are left, each is known by its number among the rest."""
    state = state_over(2, 2)
    first, second = (Failure("child", (row,), ValueError()) for row in (0, 4))
    state.culprits = {(0, 0, 0): first, (1, 1, 3): second}
    assert state.culprits_from_here() == {(0, 0): first, (3, 3): second}
    list(state.accept(outcome(1, 1)))
    assert state.culprits_from_here() == {(2, 3): second}


def test_finished_attempts_are_past():
    state = state_over(2, 2)
    state.attempts = {(0, 0): 2, (0, 1): 1, (1, 0): 3}
    list(state.accept(outcome(1, 1)))
    assert state.attempts_from_here() == {0: 1, 1: 3}


def test_order_is_of_next_child():
    """By it a generator comes before all children of later parents, and behind those of earlier ones."""
    state = state_over(2, 1)
    orders = [state.order()]
    for each in [outcome(1), outcome(2, 1), outcome(2, 2)]:
        list(state.accept(each))
        orders.append(state.order())
    assert orders == sorted(orders)
    assert [(order[1], *order[-2:]) for order in orders] == [(0, 0, 0), (0, 0, 1), (1, 0, 1), (3, 0, 0)]
