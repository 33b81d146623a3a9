"""How many failures are let pass: a number in all, or a share of each node's calls."""

import pytest

from papympi.contracts import NodeCount
from papympi.errors import OptionError
from papympi.model.failure_limit import FailureLimit


@pytest.mark.parametrize(
    ("value", "text", "count", "share"),
    [
        (0, "0", 0, None),
        (7, "7", 7, None),
        ("7", "7", 7, None),
        ("5%", "5%", None, 0.05),
        (" 2.5 % ", "2.5%", None, 0.025),
    ],
)
def test_what_is_understood(value, text, count, share):
    assert FailureLimit.parse(value) == FailureLimit(text, count, share)


@pytest.mark.parametrize(
    "value",
    ["", "%", "-1", -1, "1.5", 1.5, True, None, "nan", "nan%", "inf", "101%", "1e3", "1_0", "٣", "5%%", "9" * 400, [5]],
)
def test_what_is_not(value):
    with pytest.raises(OptionError, match="neither a number of failures nor a share"):
        FailureLimit.parse(value)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("3", None),
        ("2", "3 of 30 calls failed"),
        ("20%", None),
        ("19%", "2 of 10 calls of node 'b' failed"),
        ("0%", "1 of 20 calls of node 'a' failed"),
    ],
)
def test_what_is_beyond(limit, told):
    """A share is of one node: that of all would be smaller the more nodes there are."""
    nodes = {"a": NodeCount(done=20, failed=1), "b": NodeCount(done=10, failed=2)}
    excess = FailureLimit.parse(limit).find_excess(nodes)
    assert (excess and str(excess)) == told


def test_few_say_nothing_of_a_share():
    nodes = {"a": NodeCount(done=1, failed=1)}
    assert FailureLimit.parse("5%").find_excess(nodes, least=10) is None
    assert FailureLimit.parse("0%").find_excess(nodes, least=10) is not None
