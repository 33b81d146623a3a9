"""What a run counts: each failure once, and none that an earlier attempt has counted."""

from __future__ import annotations

import pytest

from papympi.contracts import NodeCount
from papympi.engine.tally import Tally
from papympi.model.item import Failure
from papympi.plan.program import Call
from papympi.transport.task import Outcome


def call(node, **options):
    return Call(node, len, (), **options)


def failure(node, *key):
    return Failure(node, key, ValueError("no"))


@pytest.fixture
def plan(compiled):
    return compiled(["one", "two"], one="map x", two="map x").plan


def test_failures_keep_order():
    tally, born = Tally(), [failure("one", 3), failure("two", 1), failure("one", 0)]
    tally.fail(born[:2])
    tally.fail(born[2:])
    assert tally.log.first == born
    assert tally.failed == {"one": 2, "two": 1}


def test_earlier_failures_count(known, plan):
    """Failures of an earlier attempt are those of the run."""
    tally, earlier = Tally(), [failure("one", 3)]
    tally.restore(known(failures=earlier), plan)
    assert (tally.log.first, tally.failed) == (earlier, {"one": 1})


def test_gone_nodes_failures_go(known, plan):
    """Of an earlier attempt's failures only those of nodes that still run are taken over."""
    tally = Tally()
    tally.restore(known(failures=[failure(node, 0) for node in ("one", "gone")]), plan)
    assert [each.node for each in tally.log.first] == ["one"]


def test_known_failures_count_once(known, plan):
    """One that comes home again is the same if node and key are."""
    tally, earlier = Tally(), failure("one", 3)
    tally.restore(known(failures=[earlier]), plan)
    others = [failure("two", 3), failure("one", 4)]
    tally.fail([failure("one", 3), *others])
    assert tally.log.first == [earlier, *others]
    assert tally.failed == {"one": 2, "two": 1}


def test_counts_are_of_those_asked():
    """Who has done nothing has a count, too; who was not asked for has none."""
    tally = Tally()
    tally.done["one"] += 5
    tally.dropped["one"] += 2
    tally.retried["one"] += 3
    tally.seconds["one"] += 0.5
    tally.done["other"] += 1
    tally.fail([failure("one", 0)])
    counts = tally.to_counts(["two", "one"])
    assert list(counts) == ["two", "one"]
    assert counts["one"] == NodeCount(done=5, failed=1, dropped=2, seconds=0.5, retried=3)
    assert counts["two"] == NodeCount(0)


def test_time_is_told_by_node():
    """That of nodes that are evaluated together was all the last one's; what nobody has measured still is."""
    tally = Tally()
    tally.count([call("slow"), call("quick")], Outcome(1, [], 10.0, [3, 2], [0, 1], [8.0, 1.0]))
    tally.count([call("quick")], Outcome(2, [], 0.5, [1], [0]))
    assert tally.to_counts(["slow", "quick"]) == {"slow": NodeCount(3, seconds=8.0), "quick": NodeCount(3, 0, 1, 2.5)}


def test_what_joins_is_not_counted():
    """A node may be made of several calls, one of which is for its items."""
    tally = Tally()
    tally.count([call("fold", counts="nothing")], Outcome(1, [], 1.0, [7], [0]))
    tally.count([call("fold", counts="members")], Outcome(2, [], 1.0, [7], [0]))
    assert tally.to_counts(["fold"]) == {"fold": NodeCount(7, seconds=2.0)}
