"""What is learnt from what comes home: strides, quotas, weights, and how bytes are shared out among spaces."""

from __future__ import annotations

import pytest

from papympi.engine.resume import SparedPayload
from papympi.engine.sizes import (
    ANY,
    BRIEF_S,
    FEWEST,
    HEAVY_BYTES,
    LARGEST,
    LONG,
    SLOW,
    STEEP,
    WORTH_S,
    BatchSizes,
    ItemSizes,
    groups_over,
)
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.task import Output

CHEAP_S = WORTH_S / 1000


class Crew:
    """A pool with some workers."""

    def __init__(self, workers=2):
        self.workers = ["worker"] * workers


def sizes_of(small, workers=2, **options):
    return BatchSizes(small.plan, {"pool": Crew(workers)}, **options)


@pytest.fixture(scope="module")
def single(compiled):
    """Return one map whose stride is free."""
    return compiled(one=("map x", {"stride": "auto"}))


@pytest.fixture(scope="module")
def fixed(compiled):
    """Return one map of stride 8."""
    return compiled(one=("map x", {"stride": 8}))


@pytest.fixture(scope="module")
def pair(compiled):
    return compiled(child="scatter x", leaf=("map child", {"stride": 6}), tip=("map child", {"stride": 4}))


def grow(sizes, step, times=9):
    """Let a step have cheap, full batches for a while."""
    for _ in range(times):
        sizes.learn(step, sizes.strides[step], CHEAP_S, 1)


def test_stride_grows_by_steps(single):
    """A stride grows by no more than a factor at a time, up to the largest."""
    sizes, step = sizes_of(single), single.step("one")
    found = []
    for _ in range(6):
        grow(sizes, step, 1)
        found.append(sizes.strides[step])
    assert found == [min(STEEP ** (at + 1), LARGEST) for at in range(6)]


def test_largest_bounds_strides(single):
    sizes, step = sizes_of(single, largest=12), single.step("one")
    grow(sizes, step)
    assert sizes.strides[step] == 12


def test_short_batch_tells_nothing(single):
    """A batch that was not full is no reason for larger ones."""
    sizes, step = sizes_of(single), single.step("one")
    grow(sizes, step, 1)
    sizes.learn(step, sizes.strides[step] - 1, CHEAP_S, 1)
    assert sizes.strides[step] == STEEP


def test_long_batches_shrink(fixed):
    """What takes long shrinks, but not below the user's stride."""
    sizes, step = sizes_of(fixed), fixed.step("one")
    grow(sizes, step)
    sizes.learn(step, 1, LONG * WORTH_S, 1)
    assert sizes.strides[step] == LARGEST // STEEP
    for _ in range(9):
        sizes.learn(step, 1, 1.0, 1)
    assert sizes.strides[step] == 8


def test_in_between_stays(single):
    """A batch that is worth its overhead, and does not keep others waiting, is left as it is."""
    sizes, step = sizes_of(single), single.step("one")
    grow(sizes, step, 2)
    for seconds in (WORTH_S, WORTH_S * LONG):
        sizes.learn(step, 64, seconds, 1)
    assert sizes.strides[step] == 64


def test_heavy_batches_are_halved(fixed):
    sizes, step = sizes_of(fixed), fixed.step("one")
    grow(sizes, step, 1)
    sizes.learn(step, 64, CHEAP_S, HEAVY_BYTES + 1)
    assert sizes.strides[step] == 32
    for _ in range(9):
        sizes.learn(step, 64, CHEAP_S, HEAVY_BYTES + 1)
    assert sizes.strides[step] == 8


def test_batch_grows_to_its_weight(single):
    """A batch grows no further than it may weigh."""
    sizes, step = sizes_of(single), single.step("one")
    sizes.learn(step, 1, CHEAP_S, HEAVY_BYTES // 3)
    assert sizes.strides[step] == 3


def test_change_is_told_once(single):
    """That a stride has changed is known until somebody has asked for the new numbers."""
    sizes, step = sizes_of(single), single.step("one")
    sizes.propose({"pool": 4})
    sizes.learn(step, 1, WORTH_S, 1)
    assert not sizes.changed
    grow(sizes, step, 1)
    assert sizes.changed
    sizes.propose({"pool": 4})
    assert not sizes.changed


@pytest.mark.parametrize(("seconds", "weight", "brief"), [(0, 0, True), (BRIEF_S, 0, False), (0, HEAVY_BYTES, False)])
def test_brief_is_short_and_light(single, seconds, weight, brief):
    """Whether a step is brief is what its last batch was."""
    sizes, step = sizes_of(single), single.step("one")
    sizes.learn(step, 1, *((1.0, 0) if brief else (0, 0)))
    sizes.learn(step, 1, seconds, weight)
    assert (step in sizes.brief) is brief


@pytest.mark.parametrize(("ready", "share"), [(1000, 64), (256, 64), (255, 64), (100, 25), (9, 8), (1, 8)])
def test_ready_is_shared_out(fixed, ready, share):
    """Where less is ready than all places take, each gets its part, at least the user's stride."""
    sizes, step = sizes_of(fixed), fixed.step("one")
    grow(sizes, step, 1)
    assert sizes.share(step, ready, 4) == share


def test_quota_doubles_while_cheap(pair):
    """A scatter that makes all it may in no time may make twice as many."""
    sizes, step = sizes_of(pair), pair.step("child")
    for children, seconds in [(1, 0), (2, 0), (3, 0), (4, WORTH_S)]:
        sizes.learn_children(step, children, seconds)
    sizes.strides.update(dict.fromkeys(sizes.strides, 1))
    assert sizes.propose({"pool": 4})[2][step] == 4


def test_quota_fills_next_batch(pair):
    """A scatter makes at least what its largest consumer takes at a time; a source, as many as it may."""
    _, _, quotas = sizes_of(pair).propose({"pool": 4})
    assert quotas == {pair.step("x"): LARGEST, pair.step("child"): 6}


def test_payload_fits_the_smallest(pair):
    """Results come in pieces that the consumer with the smallest stride can use whole."""
    sizes = sizes_of(pair)
    assert sizes.max_payloads[pair.step("child")] == 4
    assert sizes.max_payloads[pair.step("leaf")] == 0


def test_places_are_kept_busy(pair):
    """So much is in the graph that all places are busy for a while, and of each space before its weight is known."""
    items, few, _ = sizes_of(pair).propose({"pool": 40})
    assert items == 128 * 40
    assert few == {pair.space("x"): 2 * 40, pair.space("child"): 2 * (6 + 4) * 40}
    sizes = sizes_of(pair)
    grow(sizes, pair.step("leaf"))
    assert sizes.propose({"pool": 40})[0] == 4 * sizes.strides[pair.step("leaf")] * 40


# Weights.


def test_heavier_holds_at_once(single):
    """That items got heavier holds at once; that they got lighter, little by little."""
    sizes, stream, space = ItemSizes(single.plan, 10**6), single.stream("one"), single.space("one").number
    sizes.learn(stream, 100, 1)
    sizes.learn(stream, 900, 1)
    assert sizes.of_spaces()[space] == 900
    sizes.learn(stream, 100, 1)
    assert sizes.of_spaces()[space] == 900 - 800 // SLOW


def test_space_weighs_its_streams(pair):
    sizes = ItemSizes(pair.plan, 10**6)
    for name, size in [("x", 5), ("child", 10), ("leaf", 200), ("tip", 3000)]:
        sizes.learn(pair.stream(name), 2 * size, 2)
    assert sizes.of_spaces() == [0, 5, 3210]


@pytest.mark.parametrize(("weight", "changed"), [(1000, False), (1250, False), (1300, True), (5000, True)])
def test_small_change_is_ignored(single, weight, changed):
    """A weight close to the one in use is no reason to share out anew."""
    sizes, stream = ItemSizes(single.plan, 10**6), single.stream("one")
    sizes.learn(stream, 1000, 1)
    assert sizes.changed
    sizes.share_out(10**6, {})
    sizes.learn(stream, weight, 1)
    assert sizes.changed is changed


def test_light_change_is_ignored(single):
    """What is so light that its number is bound anyway may be ten times as heavy without being weighed anew."""
    sizes, stream = ItemSizes(single.plan, 10**6), single.stream("one")
    sizes.learn(stream, 10, 1)
    sizes.share_out(100, {})
    sizes.learn(stream, 100, 1)
    assert not sizes.changed


def test_dropped_weigh_nothing(single):
    """Only what is there counts among those that share the bytes."""
    sizes, stream = ItemSizes(single.plan, 10**6), single.stream("one")
    assert sizes.weigh(stream, Output([Payload([bytes(100)] * 4)], 0b0001)) == 400
    assert sizes.of_spaces()[1] == 400
    sizes.weigh(stream, Output([Payload([None])], 0))
    assert sizes.of_spaces()[1] == 400


def test_no_values_tell_nothing(single):
    """What was dropped or spared does not say what items weigh."""
    sizes, stream = ItemSizes(single.plan, 10**6), single.stream("one")
    for payload, valid in [(None, 0), (SparedPayload(3), FULL)]:
        sizes.weigh_chunk(stream, (0, 3, payload, 0, valid))
    assert not sizes.changed
    sizes.weigh_chunk(stream, (0, 3, Payload([bytes(50)] * 3), 0, FULL))
    assert sizes.of_spaces()[1] == 50


def test_list_weighs_its_members(compiled):
    small = compiled(child="scatter x", lists="gather child")
    sizes, step = ItemSizes(small.plan, 10**6), small.step("lists[gather]")
    sizes.weigh_lists(step, 30, 10)
    assert not sizes.changed
    sizes.learn(small.stream("child"), 100, 1)
    sizes.weigh_lists(step, 30, 10)
    assert sizes.of_spaces()[1] == 300


def shared_out(small, bound, items, few=None, **weights):
    """Return how many items each space may have, by the node that opens it."""
    sizes = ItemSizes(small.plan, bound)
    for name, weight in weights.items():
        sizes.learn(small.stream(name), weight, 1)
    limits = sizes.share_out(items, few or {})
    return {space.node: limits[space.number] for space in small.plan.spaces if space.node}


@pytest.fixture(scope="module")
def plain(compiled):
    return compiled(child="scatter x")


def test_light_items_are_not_bound(plain):
    assert shared_out(plain, 10**6, 100, x=1, child=1) == {"x": ANY, "child": ANY}


def test_light_leave_room_for_heavy(plain):
    """The light get what they can use, the heavy all of the rest."""
    assert shared_out(plain, 10_000, 100, x=10, child=1000) == {"x": ANY, "child": 9}
    assert shared_out(plain, 10_000, 100, x=1000, child=10) == {"x": 9, "child": ANY}


def test_heavy_share_alike(plain):
    """Heavy spaces get the same bytes each, whatever one of their items weighs."""
    assert shared_out(plain, 10_000, 100, x=500, child=1000) == {"x": 10, "child": 5}


def test_giant_has_one_place(plain):
    assert shared_out(plain, 100, 100, x=1, child=10**9)["child"] == 1


def test_unknown_are_few(plain):
    """While nobody knows what items weigh there are some for each place, at least a couple."""
    few = {plain.space("x"): 7}
    assert shared_out(plain, 10**6, 100, few) == {"x": 7, "child": FEWEST}
    assert shared_out(plain, 10**6, 100, few, x=1) == {"x": ANY, "child": FEWEST}


def test_groups_of_groups_are_over(compiled):
    """Groups are over what they are cut from, and each takes so many of it."""
    small = compiled(
        child="scatter x", pairs="group:2 child", sixes="group:3 pairs", other="scatter x", tip="map other"
    )
    found = groups_over(small.plan, small.space("child"))
    assert found == {small.space("pairs").number: 2, small.space("sixes").number: 6}
    assert groups_over(small.plan, small.space("other")) == {}
