"""What is ready goes out in order, in batches of a stride; a batch says of each position what it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.engine.batching import Batch, ReadyQueue, Span, split
from papympi.engine.index.chunks import SharedValue
from papympi.model.item import Failure
from papympi.transport.bitmap import FULL, is_valid, normalized
from papympi.transport.payload import Payload
from papympi.transport.task import Kind
from papympi.workers.evaluation.columns import load_column

MANY = settings(max_examples=100, deadline=None)


@pytest.fixture(scope="module")
def segments(compiled):
    """Return two segments of children: of the rows 0..3 and 3..6, two each."""
    parts = compiled(child="scatter x", leaf="map child").parts()
    parts.rows.emitted = 6
    first, second = parts.open("child", parts.rows, 0, 3), parts.open("child", parts.rows, 3, 6)
    for segment in (first, second):
        segment.ends, segment.emitted, segment.closed = [20, 40, 60], 60, True
    return first, second


def ready(segment, start, stop, valid=FULL, **fields):
    """Return a span whose value at each position is (where its segment begins, position)."""
    payload = Payload([(segment.low, at) for at in range(start, stop)])
    chunk = (start, stop, payload, 0, normalized(valid, stop - start))
    return Span(segment, start, stop, chunk[4], ((chunk,),), **fields)


def fill(*spans):
    queue = ReadyQueue()
    for span in spans:
        queue.put(span)
    return queue


def places(batch):
    """Return what a batch covers, as (first row of the segment, start, stop)."""
    return [(span.segment.low, span.start, span.stop) for span in batch.spans]


def load(task):
    return [load_column(column, lambda payload: payload.values()) for column in task.columns]


def test_earlier_parents_go_first(segments):
    """Whenever they came, spans go by their segment's parents, then by their places."""
    first, second = segments
    queue = fill(ready(second, 0, 2), ready(first, 4, 6), ready(first, 0, 2))
    assert queue.head() == (first, 0)
    assert places(queue.take(6)) == [(0, 0, 2), (0, 4, 6), (3, 0, 2)]


def test_batch_has_stride_items(segments):
    """A batch takes from as many spans as it needs, and leaves the rest of the last one."""
    queue = fill(*(ready(segments[0], 3 * at, 3 * at + 3) for at in range(3)))
    assert places(queue.take(5)) == [(0, 0, 3), (0, 3, 5)]
    assert queue.items == 4
    assert queue.head() == (segments[0], 5)
    assert places(queue.take(5)) == [(0, 5, 6), (0, 6, 9)]
    assert not queue


def test_rest_keeps_its_place(segments):
    """What is left of a span stays before what comes behind it, and behind what comes before it."""
    first, _ = segments
    queue = fill(ready(first, 4, 9))
    queue.take(2)
    queue.put(ready(first, 9, 10))
    queue.put(ready(first, 0, 1))
    assert places(queue.take(9)) == [(0, 0, 1), (0, 6, 9), (0, 9, 10)]


def test_dropped_do_not_count(segments):
    """Only what is there fills a batch; what was dropped goes along."""
    queue = fill(ready(segments[0], 0, 6, 0b101001))
    batch = queue.take(2)
    assert (batch.items, batch.count, places(batch)) == (2, 4, [(0, 0, 4)])
    assert queue.head() == (segments[0], 4)


def test_trailing_drops_go_along(segments):
    """No rest without items is left in the queue: it goes with the last item before it."""
    queue = fill(ready(segments[0], 0, 6, 0b001111), ready(segments[0], 6, 7))
    assert places(queue.take(4)) == [(0, 0, 6)]
    assert queue.head() == (segments[0], 6)


@MANY
@given(st.data())
def test_queue_loses_nothing(segments, data):
    """Every position goes out once, in order, in batches that are full but for the last."""
    cuts = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 31), st.booleans()), max_size=8))
    spans, at, present = [], 0, []
    for size, bits, which in sorted(cuts, key=lambda cut: cut[2]):
        at = 0 if which and (not spans or spans[-1].segment is segments[0]) else at
        valid = bits & ((1 << size) - 1) or 1
        spans.append(ready(segments[which], at, at + size, valid))
        present += [(segments[which].low, at + i) for i in range(size) if valid >> i & 1]
        at += size
    queue, stride, gone = fill(*data.draw(st.permutations(spans))), data.draw(st.integers(1, 6)), []
    while queue:
        left = queue.items
        batch = queue.take(stride)
        assert batch.items == min(stride, left)
        assert queue.items == left - batch.items
        (column,) = load(batch.to_task(1, Kind.CALL, 0, 0))
        gone += [value for at, value in enumerate(column) if is_valid(batch.valid(), at)]
    assert gone == present


@pytest.mark.parametrize("order", [(True, False, False), (False, True, False), (False, False, True)])
def test_lonely_span_goes_alone(segments, order):
    """A span in which a worker died shares no batch, neither with what is before it nor behind."""
    queue = fill(*(ready(segments[0], at, at + 1, alone=alone) for at, alone in enumerate(order)))
    sizes = []
    while queue:
        batch = queue.take(8)
        sizes.append((batch.count, batch.spans[0].alone))
    assert [size for size in sizes if size[1]] == [(1, True)]
    assert sum(count for count, _ in sizes) == 3


def test_lonely_span_is_cut_lonely(segments):
    """Parts of a span that goes alone go alone."""
    queue = fill(ready(segments[0], 0, 6, alone=True), ready(segments[0], 6, 8))
    assert [queue.take(4).spans[0].alone for _ in range(3)] == [True, True, False]
    queue = fill(ready(segments[0], 0, 3, 0b101, alone=True))
    assert [queue.take(1).spans[0].alone for _ in range(2)] == [True, True]


def test_split_shares_all_out(segments):
    left, right = split(ready(segments[0], 2, 8, 0b110101, alone=True), 5)
    assert [(part.start, part.stop, part.valid, part.alone) for part in (left, right)] == [
        (2, 5, 0b101, True),
        (5, 8, 0b110, True),
    ]
    (column,) = load(Batch([right], 3, 2).to_task(1, Kind.CALL, 0, 0))
    assert column == [(0, 5), (0, 6), (0, 7)]


def batch_of(*spans):
    return Batch(
        list(spans),
        sum(span.stop - span.start for span in spans),
        sum(is_valid(span.valid, at) for span in spans for at in range(span.stop - span.start)),
    )


def test_task_has_all_keys(segments):
    first, second = segments
    task = batch_of(ready(first, 18, 21), ready(second, 0, 2)).to_task(7, Kind.CALL, 3, 5)
    assert (task.id, task.kind, task.stage, task.count) == (7, Kind.CALL, 3, 5)
    assert task.keys == [((0,), 18, 2), ((1,), 0, 1), ((3,), 0, 2)]


def test_columns_lie_end_to_end(segments):
    """Each input has a value for every position, whatever its chunks; shared ones are repeated."""
    first, _ = segments
    row = (0, 3, Payload(["row 0", "row 1", "row 2"]), 0, FULL)
    numbers = [(4, 6, Payload([40, 50]), 0, FULL), (6, 7, Payload([60]), 0, FULL)]
    columns = [numbers, [(4, 7, Payload(list("?abcde")), 1, FULL)], [SharedValue(4, 7, row, 1)]]
    task = batch_of(Span(first, 4, 7, FULL, columns)).to_task(1, Kind.CALL, 0, 0)
    assert load(task) == [[40, 50, 60], ["a", "b", "c"], ["row 1"] * 3]


def test_bitmaps_are_joined(segments):
    first, second = segments
    batch = batch_of(ready(first, 0, 3, 0b101), ready(second, 0, 2), ready(second, 4, 6, 0b10))
    assert batch.valid() == 0b10_11_101
    assert batch.to_task(1, Kind.CALL, 0, 0).valid == 0b10_11_101


def test_whole_spans_stay_full(segments):
    first, second = segments
    assert batch_of(ready(first, 0, 3), ready(second, 0, 2)).to_task(1, Kind.CALL, 0, 0).valid == FULL


def test_attempts_have_places(segments):
    """What was tried before, or killed workers, is named by its place in the batch."""
    first, _ = segments
    died, again = Failure("leaf", (0, 3), ValueError("one")), Failure("leaf", (0, 3, 1), ValueError("two"))
    batch = batch_of(
        ready(first, 0, 2),
        ready(first, 2, 3, attempts=2),
        ready(first, 3, 4, culprits=(died, again)),
        ready(first, 4, 6),
    )
    task = batch.to_task(1, Kind.CALL, 0, 0)
    assert task.attempts == {2: 2}
    assert task.culprits == {(3, 0): died, (3, 1): again}


@pytest.mark.parametrize("alone", [True, False])
def test_lonely_task_goes_slowly(segments, alone):
    """A task in which a worker died does one child at a time."""
    task = batch_of(ready(segments[0], 0, 1, alone=alone)).to_task(1, Kind.CALL, 0, 0)
    assert task.chunk == int(alone)


def test_picked_are_single(segments):
    """What is tried again is cut out position by position, each with what is known of it, and not alone any more."""
    first, second = segments
    batch = batch_of(ready(first, 0, 3, 0b101, alone=True), ready(second, 7, 9, attempts=1))
    found = list(batch.pick([3, 2, 4]))
    assert [(span.segment.low, span.start, span.stop) for span in found] == [(0, 2, 3), (3, 7, 8), (3, 8, 9)]
    assert all(is_valid(span.valid, 0) and not span.alone for span in found)
    assert [span.attempts for span in found] == [0, 1, 1]


def test_neighbours_spread_as_one(segments):
    first, second = segments
    batch = batch_of(ready(first, 0, 3), ready(first, 3, 5), ready(first, 6, 8), ready(second, 8, 9))
    assert batch.spread() == [(first, 0, 5), (first, 6, 8), (second, 8, 9)]


@pytest.mark.parametrize(
    ("valids", "place"), [([0b100, 0b00], 2), ([0b000, 0b01], 3), ([0b010, 0b01], -1), ([0b111, 0b11], -1)]
)
def test_only_item_has_a_place(segments, valids, place):
    """Where one item is left of a batch, it is known which."""
    batch = batch_of(ready(segments[0], 0, 3, valids[0]), ready(segments[1], 0, 2, valids[1]))
    assert batch.only() == place
    assert batch_of(ready(segments[0], 5, 6)).only() == 0


def test_weight_is_what_is_carried(segments):
    """A batch weighs the part of each payload that it takes; a shared value counts once, not for each position."""
    first, _ = segments
    heavy = (0, 4, Payload([bytes(100)] * 8), 0, FULL)
    assert batch_of(Span(first, 0, 4, FULL, ((heavy,),))).weigh() == 400
    shared = SharedValue(0, 50, (0, 1, Payload([bytes(100)]), 0, FULL), 0)
    assert batch_of(Span(first, 0, 50, FULL, ((shared,),))).weigh() == 100
