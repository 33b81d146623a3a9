"""What of a run is kept: results, which members there are, counts, states, failures; nothing that may change."""

from __future__ import annotations

import pytest

from papympi.contracts import ABSENT, Capabilities
from papympi.engine.recording import Recorder
from papympi.engine.resume import SparedPayload
from papympi.errors import JournalError
from papympi.model.item import Failure
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload


class Lists:
    """A store that keeps what it gets in lists, by what it was told with."""

    def __init__(self):
        self.results, self.counts, self.states, self.failures, self.rows = [], [], [], [], []
        self.error = None

    def keep_results(self, node, runs, bitmaps, payload, offset):
        self.results.append((node, runs, bitmaps, payload, offset))

    def keep_counts(self, node, parents, counts):
        self.counts.append((node, parents, counts))

    def keep_state(self, node, parent, at, state):
        self.states.append((node, parent, at))

    def drop_state(self, node, parent):
        self.states.append((node, parent, "dropped"))

    def keep_failure(self, failure, given):
        self.failures.append((failure.node, failure.key, given))

    def keep_rows(self, node, start, values):
        self.rows.append((node, start, values))

    def check(self):
        if self.error is not None:
            raise self.error


class Pool:
    def __init__(self, shares_memory):
        self.capabilities = Capabilities(shares_memory=shares_memory)


class Kept:
    """A recorder, what it has kept, and segments to record."""

    def __init__(self, small, *, shares_memory=False):
        self.small, self.store = small, Lists()
        self.recorder = Recorder(small.plan, self.store, {"pool": Pool(shares_memory)})
        self.parts = small.parts()
        self.rows = self.parts.rows
        self.rows.emitted = 9

    def route(self, name, segment, start, stop, valid=FULL, failed=0, payload=None):
        payload = payload or Payload(["?", *range(start, stop)])
        self.recorder.route(self.small.stream(name), segment, (start, stop, payload, 1, valid), failed)

    def nodes(self):
        return [node for node, *_ in self.store.results]

    def open(self, low, high, *ends, valid=FULL):
        segment = self.parts.open("child", self.rows, low, high, valid)
        segment.ends, segment.emitted = list(ends), max(ends)
        return segment


@pytest.fixture
def kept(compiled):
    """Return what makes a recorder for a small graph."""

    def make(targets=None, *, shares_memory=False, **nodes):
        return Kept(compiled(targets, **nodes), shares_memory=shares_memory)

    return make


def test_targets_are_kept(kept):
    """Results of targets are kept with their keys, drops and failures; those on the way are not."""
    each = kept(child="scatter x", leaf="map child")
    child = each.open(1, 3, 2, 5)
    each.route("child", child, 0, 4)
    payload = Payload(["?", 1, 2, 3])
    each.route("leaf", child, 1, 4, 0b110, 0b010, payload)
    assert each.store.results == [("leaf", [((1,), 1, 1), ((2,), 0, 2)], (0b110, 0b010), payload, 1)]


def test_checkpoints_are_kept(kept):
    each = kept(one=("map x", {"checkpoint": True}), two="map one")
    each.route("one", each.rows, 0, 2)
    assert each.nodes() == ["one"]


def test_sources_are_not_kept(compiled):
    """Rows come again by themselves, even if they are a target."""
    small = compiled(one="map x")
    small.stream("x").target = True
    each = Kept(small)
    each.route("x", each.rows, 0, 2)
    assert each.nodes() == []


def test_members_kept_as_marks(kept):
    """Of what is cut into groups it is kept which members there are, so that the cuts are known."""
    each = kept(child="scatter x", pairs="group:2 child")
    each.route("child", each.open(0, 1, 3), 0, 3, 0b101, 0b001)
    assert each.store.results == [("child", [((0,), 0, 3)], (0b101, 0b001), None, 1)]


def test_drops_kept_as_marks(kept):
    each = kept(one="map x")
    each.route("one", each.rows, 0, 3, 0)
    assert each.store.results[0][2:4] == ((0, 0), None)


def test_replayed_not_kept_again(kept):
    each = kept(one="map x")
    each.route("one", each.rows, 0, 3, payload=SparedPayload(3))
    assert each.store.results == []


def test_nothing_is_not_kept(kept):
    each = kept(one="map x")
    each.route("one", each.rows, 3, 3)
    assert each.store.results == []


def test_finished_counts_are_kept(kept):
    """How many children a parent has is kept once, as soon as it is finished."""
    each = kept(child="scatter x", leaf="map child")
    child = each.open(2, 6, 3, 3)
    child.emitted = 5
    each.recorder.grow(child)
    each.recorder.grow(child)
    child.ends += [5, 9]
    each.recorder.grow(child)
    assert each.store.counts == [("child", [((), 2, 2)], [3, 0]), ("child", [((), 4, 2)], [2, 4])]


def test_dropped_parent_is_absent(kept):
    each = kept(child="scatter x", leaf="map child")
    each.recorder.grow(each.open(2, 5, 3, 3, 4, valid=0b101))
    assert each.store.counts == [("child", [((), 2, 3)], [3, ABSENT, 1])]


def test_number_of_rows_is_kept(kept):
    each = kept(one="map x")
    each.rows.ends.append(9)
    each.recorder.grow(each.rows)
    assert each.store.counts == [("x", [], [9])]


def test_groups_have_no_counts(kept):
    """How groups are cut follows from their members."""
    each = kept(child="scatter x", pairs="group:2 child")
    groups = each.open(0, 1, 4).groups[each.small.space("pairs")]
    groups.ends, groups.emitted = [2], 2
    each.recorder.grow(groups)
    assert each.store.counts == []


FOLD = {"child": "scatter x", "total": "fold child"}


def test_states_from_afar_are_kept(kept):
    """An accumulator that comes from another process is kept each time: it is pickled already."""
    each = kept(**FOLD)
    for taken in (2, 4):
        each.recorder.fold(each.small.step("total"), (1,), taken, Payload([taken]))
    assert each.store.states == [("total", (1,), 2), ("total", (1,), 4)]


def test_live_states_kept_sometimes(kept):
    """One that lives in this process would have to be pickled: now and then is enough, for each parent."""
    each = kept(**FOLD, shares_memory=True)
    step = each.small.step("total")
    for taken, parent in [(2, (1,)), (4, (1,)), (1, (2,))]:
        each.recorder.fold(step, parent, taken, Payload([taken]))
    assert each.store.states == [("total", (1,), 2), ("total", (2,), 1)]


def test_unpicklable_is_not_kept(kept):
    each = kept(**FOLD, shares_memory=True)
    generator = (at for at in range(3))
    each.recorder.fold(each.small.step("total"), (1,), 2, Payload([generator]))
    assert each.store.states == []


def test_finished_fold_drops_state(kept):
    each = kept(**FOLD, shares_memory=True)
    step = each.small.step("total")
    each.recorder.fold(step, (1,), 2, Payload([1]))
    each.recorder.finish_fold(step, (1,))
    assert each.store.states == [("total", (1,), 2), ("total", (1,), "dropped")]


def test_failure_kept_with_inputs(kept):
    """What its stage was given is kept with a failure; if that cannot be had any more, the failure alone."""
    each = kept(one="map x")

    def inputs_at(key):
        return {(3,): ["three"]}[key]

    each.recorder.fail([Failure("one", (at,), ValueError("no")) for at in (3, 4)], inputs_at)
    assert each.store.failures == [("one", (3,), ["three"]), ("one", (4,), None)]


def test_rows_are_kept_by_input(kept):
    each = kept(one="map x y")
    each.recorder.rows(["x", "y"], 4, [["a", "b"], [1, 2]], failed=False)
    assert each.store.rows == [("x", 4, ["a", "b"]), ("y", 4, [1, 2])]


@pytest.fixture
def sealed(kept):
    """Return a recorder whose source has failed at row 6."""
    each = kept(["leaf", "one", "total"], child="scatter x", leaf="map child", one="map x", total="fold one")
    each.recorder.rows(["x"], 4, [["a", "b", "failure"]], failed=True)
    return each


def test_failed_row_is_not_kept(sealed):
    assert sealed.store.rows == [("x", 4, ["a", "b"])]


def test_failed_row_leaves_nothing(sealed):
    """What comes of a row that may not fail the next time is not kept, what comes of those before is."""
    sealed.route("one", sealed.rows, 4, 6)
    sealed.route("one", sealed.rows, 5, 7)
    child = sealed.open(5, 7, 2, 4)
    sealed.route("leaf", child, 0, 2)
    sealed.route("leaf", child, 2, 4)
    assert [(node, runs) for node, runs, *_ in sealed.store.results] == [
        ("one", [((), 4, 2)]),
        ("leaf", [((5,), 0, 2)]),
    ]


def test_failed_row_spoils_totals(sealed):
    """Nor is what the whole run depends on: its result, the number of rows, an accumulator over rows."""
    sealed.route("total", sealed.parts.unit, 0, 1)
    sealed.rows.ends.append(7)
    sealed.recorder.grow(sealed.rows)
    sealed.recorder.fold(sealed.small.step("total"), (), 7, Payload([7]))
    assert (sealed.nodes(), sealed.store.counts, sealed.store.states) == ([], [], [])


def test_store_error_is_raised(kept):
    each = kept(one="map x")
    each.recorder.check()
    each.store.error = JournalError("the disk is full")
    with pytest.raises(JournalError, match="full"):
        each.recorder.check()
