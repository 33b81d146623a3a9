"""Who may emit when: whole quotas, by levels, smallest first, not far ahead of the consumer or of the first row."""

from __future__ import annotations

import pytest

from papympi.engine.admission import Accounts, Admission
from papympi.engine.index.segment import Segment
from papympi.engine.index.tables import Layout
from papympi.engine.sizes import ItemSizes


class Waiting:
    """A producer whose next item has an order key."""

    def __init__(self, order):
        self.order = order

    def smallest(self):
        return self.order


class Gate:
    """The admission of a small plan whose items weigh nothing, unless `weights` says otherwise.

    The consumer waits, and somebody stands before everybody else, so that all need the room beside.
    """

    def __init__(self, small, bound=90, wanted=1, bytes_bound=1000, **weights):
        plan, self.small = small.plan, small
        self.accounts = Accounts([0] * len(plan.spaces), [0] * len(plan.spaces))
        self.sizes = ItemSizes(plan, bytes_bound)
        for stream in (stream for step in plan.steps for stream in step.outputs):
            self.sizes.learn(stream, weights.get(stream.node, 0), 1)
        self.admission = Admission(plan, self.accounts, self.sizes, bound)
        self.producers = [step for step in plan.steps if step.is_producer]
        self.resize(bound, wanted)
        self.admission.consumer_waits = True
        self.first = Waiting((0,))
        self.admission.producers = [self.first]

    def resize(self, bound, wanted=1):
        many = (
            wanted if isinstance(wanted, dict) else dict.fromkeys((s.outputs[0].node for s in self.producers), wanted)
        )
        self.admission.resize(bound, {}, {step: many[step.outputs[0].node] for step in self.producers})

    def quota(self, name):
        return self.admission.quotas[self.small.step(name)]

    def grants(self, name, order=(1,)):
        return self.admission.grants(self.small.step(name), order)

    def most(self, name, order=(1,)):
        """Return with how many live items a producer is still granted its quota."""
        live = 0
        while self.grants(name, order):
            live += 1
            self.accounts.live = live
        self.accounts.live = 0
        return live - 1


@pytest.fixture(scope="module")
def deep(compiled):
    """Return a source, its children and theirs."""
    return compiled(child="scatter x", grand="scatter child", leaf="map grand")


@pytest.fixture(scope="module")
def pair(compiled):
    return compiled(child="scatter x", leaf="map child")


@pytest.mark.parametrize(
    ("bound", "wanted", "quota"), [(120, 8, 8), (120, 1000, 20), (120, 20, 20), (3, 50, 1), (0, 9, 1)]
)
def test_quota_is_a_share(deep, bound, wanted, quota):
    """A quota is what is wanted, at most half of the bound shared among all producers, at least one."""
    gate = Gate(deep, bound, wanted)
    assert [gate.quota(name) for name in ("x", "child", "grand")] == [quota] * 3


@pytest.mark.parametrize(("name", "part"), [("x", 30), ("child", 60), ("grand", 90)])
def test_levels_have_caps(deep, name, part):
    """Who is deeper may fill more of the bound, so that sources do not take the place of their children."""
    assert Gate(deep, 90).most(name, (0,)) == part - 1


@pytest.mark.parametrize(("name", "part"), [("x", 60), ("y", 60), ("child", 120), ("other", 120)])
def test_levels_count_per_chain(compiled, name, part):
    """Levels are counted along a chain: sources and scatters that do not feed each other are beside each other."""
    small = compiled(child="scatter x", leaf="map child", other="scatter y", tip="map other")
    assert Gate(small, 120).most(name, (0,)) == part - 1


def test_longest_way_counts(compiled):
    """Of several ways down to a scatter the longest says how deep it is."""
    maps = {"one": "map x", "two": "map one", "three": "map two"}
    nodes = maps | {"a": "scatter x", "b": "scatter a", "c": "scatter three", "sums": "gather c", "z": "scatter b sums"}
    assert Gate(compiled(**nodes, last="scatter z"), 120).most("z", (0,)) == 120 * 4 // 5 - 1


def test_gather_does_not_end_levels(compiled):
    """A scatter of what was gathered is below the scatter that made the members."""
    small = compiled(child="scatter x", sums="gather child", part="scatter sums", leaf="map part")
    gate = Gate(small, 90)
    assert [gate.most(name, (0,)) for name in ("x", "child", "part")] == [29, 59, 89]


def test_quota_fits_whole_or_not(pair):
    """A quota that does not fit is not granted in part."""
    gate = Gate(pair, 100, 10)
    gate.accounts.live = 90
    assert gate.grants("child", (0,))
    gate.accounts.live = 91
    assert not gate.grants("child", (0,))
    assert gate.quota("child") == 10


def test_reserved_counts_as_live(pair):
    gate = Gate(pair, 100, 10)
    gate.accounts.reserve(pair.space("x"), 50)
    gate.accounts.live = 40
    assert gate.grants("child", (0,))
    gate.accounts.reserve(pair.space("x"), 1)
    assert not gate.grants("child", (0,))


def test_head_of_line_keeps_way(pair):
    """Whoever is not the first leaves room for the largest quota of a scatter."""
    gate = Gate(pair, 100, {"x": 3, "child": 20})
    assert [gate.most(name, (0,)) for name in ("x", "child")] == [50 - 3, 100 - 20]
    assert [gate.most(name, (1,)) for name in ("x", "child")] == [50 - 3 - 20, 100 - 20 - 20]


def test_smallest_key_goes_first(pair):
    """The first is whoever no producer is before; those that have nothing to emit do not count."""
    gate = Gate(pair, 100, 20)
    gate.accounts.live = 75
    gate.admission.producers = [Waiting((0, 5)), Waiting(None), Waiting((0, 3, 1))]
    assert [gate.grants("child", order) for order in [(0, 3, 1), (0, 2, 9), (0, 3, 2), (0, 5)]] == [
        True,
        True,
        False,
        False,
    ]


def test_absent_consumer_gets_bound(pair):
    """While nobody asks, no more is emitted than may be in the graph, however much of it is gone again."""
    gate = Gate(pair, 100, 10)
    gate.admission.consumer_waits = False
    gate.accounts.emit(pair.space("child"), 90)
    gate.accounts.retire(pair.space("child"), 90)
    assert gate.grants("child")
    gate.accounts.reserve(pair.space("child"), 1)
    assert not gate.grants("child")
    gate.admission.consumer_waits = True
    assert gate.grants("child")


@pytest.mark.parametrize(
    ("emitted", "retired", "sees"), [(790, 0, True), (791, 0, False), (791, 1, True), (900, 109, False)]
)
def test_first_row_holds_the_source(pair, emitted, retired, sees):
    """A source is at most eight bounds ahead of its first row that is still needed."""
    gate = Gate(pair, 100, 10)
    rows = Segment(Layout(pair.plan, gate.accounts.retire, ordered=True).spaces[pair.space("x")], None, 0, 1)
    rows.emitted = emitted
    if retired:
        rows.retired.add(0, retired)
    assert gate.admission.sees_ahead(pair.step("x"), rows) is sees


def test_heavy_items_are_few(pair):
    """Of heavy items there are as many as the bytes allow, the light ones beside them are not fewer for that."""
    gate = Gate(pair, 100, 1, bytes_bound=1000, child=100)
    for count, granted in [(8, True), (9, False)]:
        gate.accounts.spaces[pair.space("child").number] = count
        assert gate.grants("child") is granted
        assert gate.grants("x")


def test_first_takes_last_place(pair):
    """Of heavy items, too, whoever is not the first leaves a quota for the one that is."""
    gate = Gate(pair, 100, 1, bytes_bound=1000, child=100)
    for count, first, second in [(9, True, False), (10, False, False)]:
        gate.accounts.spaces[pair.space("child").number] = count
        assert (gate.grants("child", (0,)), gate.grants("child", (1,))) == (first, second)


def test_heavy_quota_is_half_room(pair):
    assert Gate(pair, 100, 50, bytes_bound=1000, child=100).quota("child") == 5


def test_full_groups_stop_members(compiled):
    """Nobody makes members while there are as many heavy groups as may be."""
    small = compiled(child="scatter x", pairs="group:2 child", leaf="map pairs")
    gate = Gate(small, 100, 1, bytes_bound=1000, pairs=100)
    for count, granted in [(9, True), (10, False)]:
        gate.accounts.spaces[small.space("pairs").number] = count
        assert gate.grants("child", (0,)) is granted
        assert gate.grants("x", (0,))


def test_quota_fits_the_groups(compiled):
    """A quota makes no more members than half of the groups that may be have."""
    small = compiled(child="scatter x", pairs="group:2 child", leaf="map pairs")
    assert Gate(small, 1000, 100, bytes_bound=1000, pairs=100).quota("child") == 10


def test_resize_tells_the_accounts(pair):
    """A new bound holds at once, and the accounts learn what items weigh."""
    gate = Gate(pair, 100, 1, bytes_bound=10**9, child=100)
    gate.accounts.live = 60
    gate.resize(50)
    assert not gate.grants("child", (0,))
    gate.accounts.reserve(pair.space("child"), 3)
    assert gate.accounts.heaviest == 300


@pytest.fixture
def accounts():
    return Accounts([0, 0, 0], [0, 7, 2])


def test_highest_counts_reserved(accounts, pair):
    """The highest is of what was there and what was promised, and does not fall again."""
    rows, child = pair.space("x"), pair.space("child")
    accounts.reserve(rows, 5)
    accounts.emit(child, 3)
    accounts.unreserve(rows, 5)
    accounts.reserve(child, 4)
    accounts.retire(child, 3)
    assert (accounts.live, accounts.reserved, accounts.highest) == (0, 4, 8)
    assert accounts.spaces == [0, 0, 4]


def test_reserving_raises_highest(accounts, pair):
    accounts.emit(pair.space("x"), 2)
    accounts.reserve(pair.space("x"), 3)
    assert accounts.highest == 5


def test_retired_was_still_emitted(accounts, pair):
    """What was emitted since the last request is counted, though it is gone."""
    accounts.emit(pair.space("x"), 3)
    accounts.retire(pair.space("x"), 3)
    assert (accounts.emitted, accounts.live) == (3, 0)


def test_heaviest_is_of_all_spaces(accounts, pair):
    accounts.emit(pair.space("x"), 2)
    accounts.reserve(pair.space("child"), 3)
    assert accounts.heaviest == 2 * 7 + 3 * 2


def test_heavier_items_count_at_once(pair):
    """Those in the graph already are weighed anew when more is known; the most there has been stays."""
    gate = Gate(pair, 100, 1, x=7, child=2)
    gate.accounts.emit(pair.space("x"), 2)
    gate.accounts.reserve(pair.space("child"), 3)
    gate.sizes.learn(pair.step("x").outputs[0], 10, 1)
    gate.resize(100)
    heaviest = gate.accounts.heaviest
    assert heaviest >= 2 * 10 + 3 * 2
    gate.sizes.learn(pair.step("x").outputs[0], 0, 1)
    gate.resize(100)
    assert gate.accounts.heaviest == heaviest
