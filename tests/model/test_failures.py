"""Failures that are equal but for numbers, paths and addresses are one group."""

import pytest

from papympi.model.failures import KEPT, FailureGroups, FailureLog, group_failures
from papympi.model.item import Failure
from papympi.monitors.report import format_groups


def make_failure(key, message, node="parse", kind=ValueError):
    return Failure(node, key, kind(message))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bad value 17", "bad value 18"),
        ("bad value -1.5e-7", "bad value 3"),
        ("cannot read '/data/a/one.fits'", "cannot read '/data/b/two-2.fits'"),
        ("<Model object at 0x7f10>", "<Model object at 0x7fab10>"),
        ("no such key", "no such key"),
    ],
)
def test_like_failures_are_one_group(one, other):
    """What only differs in numbers, paths and addresses is one group."""
    [group] = group_failures([make_failure((4,), other), make_failure((2,), one)])
    assert (group.count, str(group.first.error), group.varies) == (2, one, one != other)


def test_groups_differ_by_words():
    """Node, exception and words tell groups apart."""
    failures = [make_failure((1,), "low"), make_failure((2,), "high"), make_failure((3,), "low", node="read")]
    assert len(group_failures([*failures, make_failure((4,), "low", kind=TypeError)])) == 4


def test_order_ignores_arrival():
    """The order does not depend on how failures came home."""
    failures = [make_failure((n,), word) for n, word in enumerate(["rare", "often", "often", "odd"])]
    forth, back = group_failures(failures), group_failures(reversed(failures))
    assert forth == back
    assert [(group.count, group.first.key) for group in forth] == [(2, (1,)), (1, (0,)), (1, (3,))]


def test_long_messages_are_grouped_at_once():
    """A pattern went through a message once for each of its characters."""
    failures = [make_failure((n,), "m" * 1_000_000 + str(n)) for n in range(20)]
    [group] = group_failures(failures)
    assert group.count == 20


def test_long_tracebacks_are_shown_at_once():
    """Of a traceback only the last lines are looked at, and of each of them what is shown."""
    failures = [Failure("parse", (n,), ValueError("no"), traceback="t" * 2_000_000) for n in range(20)]
    [paragraph] = format_groups(group_failures(failures))
    assert len(paragraph) < 2000


def words(number):
    """Return a message that is like no other: digits would be left out."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


@pytest.mark.parametrize("kinds", [[ValueError], [type(f"Kind{words(n)}", (Exception,), {}) for n in range(3000)]])
def test_groups_are_bounded(kinds):
    """There was a group for each message: of many only those of a node and exception are told apart, and all count."""
    grouping = FailureGroups()
    for number in range(6000):
        grouping.add(make_failure((number,), words(number), f"node{number % 2}", kinds[number % len(kinds)]))
    groups = grouping.list_groups()
    assert sum(group.count for group in groups) == 6000
    assert len(groups) <= 2 * KEPT + 2
    assert {node: sum(group.count for group in groups if group.first.node == node) for node in ("node0", "node1")} == {
        "node0": 3000,
        "node1": 3000,
    }
    most = groups[0]
    assert (most.varies, most.mixed) == (True, len(kinds) > 1)
    assert (" and others in node" in format_groups(groups)[0]) == most.mixed


def test_log_keeps_the_first():
    """Each failure was kept whole: of those without room nothing stays but counts."""
    spilt = []
    log = FailureLog(spilt.extend)
    failures = [make_failure((n,), "no", f"node{n % 3}") for n in range(KEPT + 700)]
    for start in range(0, len(failures), 300):
        log.add(failures[start : start + 300])
    assert (log.count, log.first, spilt) == (len(failures), failures[:KEPT], failures[KEPT:])
    assert [(group.count, group.first.key) for group in log.list_groups()] == [(567, (0,)), (567, (1,)), (566, (2,))]
