"""Failures that are equal but for numbers, paths and addresses are one group."""

import pytest

from papympi.model.item import Failure
from papympi.monitors.report import group_failures


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
